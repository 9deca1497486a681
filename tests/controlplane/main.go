// A cluster's API in one program, for tests: kube-apiserver with etcd and the OpenShift CRDs (`serve`), and kubectl
// (`kubectl …`, or called by that name). README.md of this folder describes both.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
)

func main() {
	switch {
	case filepath.Base(os.Args[0]) == "kubectl":
		runKubectl()
	case len(os.Args) > 1 && os.Args[1] == "kubectl":
		os.Args = append([]string{"kubectl"}, os.Args[2:]...)
		runKubectl()
	case len(os.Args) > 1 && os.Args[1] == "serve":
		if err := serve(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "controlplane:", err)
			os.Exit(1)
		}
	default:
		fmt.Fprintln(os.Stderr, "usage: controlplane serve --data DIR --crds DIR [--v1alpha1-policies] | controlplane kubectl ...")
		os.Exit(2)
	}
}

func runKubectl() {
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err)
	}
}

// ready is printed as one line of JSON once the server serves everything.
type ready struct {
	Ready       bool              `json:"ready"`
	URL         string            `json:"url"`
	CA          string            `json:"ca"`
	Kubeconfigs map[string]string `json:"kubeconfigs"` // user → file
	Tokens      map[string]string `json:"tokens"`
	Seconds     float64           `json:"seconds"`
}

func serve(args []string) error {
	started := time.Now()
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	data := flags.String("data", "", "an empty or absent `directory` (but for a file `log`) for all that this server writes; removed at the end")
	crds := flags.String("crds", "", "the `directory` of the CRDs")
	v1alpha1 := flags.Bool("v1alpha1-policies", false, "serve ClusterImagePolicy and ImagePolicy as v1alpha1 only")
	_ = flags.Parse(args)
	if *data == "" || *crds == "" {
		return fmt.Errorf("serve needs --data and --crds")
	}
	if err := own(*data); err != nil {
		return err
	}
	go exitWithStdin(*data)

	etcd, err := startEtcd(filepath.Join(*data, "etcd"))
	if err != nil {
		return err
	}
	listener, err := listen()
	if err != nil {
		return err
	}
	url := "https://" + listener.Addr().String()
	identities, err := writeIdentities(*data, url)
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- runAPIServer(*data, etcd, listener) }()

	prepared := make(chan error, 1)
	go func() { prepared <- prepare(identities.kubeconfigs["admin"], *crds, *v1alpha1) }()
	select {
	case err := <-failed:
		return fmt.Errorf("the API server ended: %v", err)
	case err := <-prepared:
		if err != nil {
			return err
		}
	}
	line := ready{true, url, identities.ca, identities.kubeconfigs, identities.tokens, time.Since(started).Seconds()}
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		return err
	}
	return fmt.Errorf("the API server ended: %v", <-failed)
}

// own makes sure that nothing is lost when the directory is removed.
func own(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.Name() != "log" {
			return fmt.Errorf("%s is not empty: it holds %s", dir, entry.Name())
		}
	}
	return nil
}

// exitWithStdin ends the program, and what it wrote, when whoever started it closes the pipe or dies.
func exitWithStdin(data string) {
	_, _ = io.Copy(io.Discard, os.Stdin)
	// etcd goes on writing meanwhile, so a folder may not be empty at the first attempt.
	for range 10 {
		if os.RemoveAll(data) == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	os.Exit(0)
}

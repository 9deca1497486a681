package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionsclient "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"
)

const patience = 2 * time.Minute

// prepare waits for the server, applies the CRDs and waits until kubectl and server-side apply know every one of them.
func prepare(kubeconfig, crdDir string, v1alpha1Policies bool) error {
	crds, err := readCRDs(crdDir, v1alpha1Policies)
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config.QPS = -1
	client, err := apiextensionsclient.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err = poll(ctx, "/readyz", func() error {
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
	if err != nil {
		return err
	}
	for _, crd := range crds {
		body, err := json.Marshal(crd)
		if err != nil {
			return err
		}
		apply := metav1.PatchOptions{FieldManager: "controlplane"}
		_, err = client.ApiextensionsV1().CustomResourceDefinitions().Patch(ctx, crd.Name, types.ApplyPatchType, body, apply)
		if err != nil {
			return fmt.Errorf("%s: %w", crd.Name, err)
		}
	}
	return poll(ctx, "the CRDs", func() error { return allServed(ctx, client, crds) })
}

func readCRDs(dir string, v1alpha1Policies bool) ([]*apiextensions.CustomResourceDefinition, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("no CRDs in %s", dir)
	}
	var crds []*apiextensions.CustomResourceDefinition
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		crd := &apiextensions.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(text, crd); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		crd.ManagedFields = nil
		if v1alpha1Policies && strings.HasSuffix(crd.Spec.Names.Kind, "ImagePolicy") {
			for i := range crd.Spec.Versions {
				crd.Spec.Versions[i].Name = "v1alpha1"
			}
		}
		crds = append(crds, crd)
	}
	return crds, nil
}

func allServed(ctx context.Context, client *apiextensionsclient.Clientset, crds []*apiextensions.CustomResourceDefinition) error {
	_, lists, err := client.Discovery().ServerGroupsAndResources()
	if err != nil {
		return err
	}
	schemas, err := client.Discovery().OpenAPIV3().Paths()
	if err != nil {
		return err
	}
	for _, crd := range crds {
		for _, version := range crd.Spec.Versions {
			group := crd.Spec.Group + "/" + version.Name
			if !discovered(lists, group, crd.Spec.Names.Plural) {
				return fmt.Errorf("%s of %s is not discovered", crd.Spec.Names.Plural, group)
			}
			if schemas["apis/"+group] == nil {
				return fmt.Errorf("%s has no schema", group)
			}
			path := "/apis/" + group + "/" + crd.Spec.Names.Plural
			if err := client.Discovery().RESTClient().Get().AbsPath(path).Param("limit", "1").Do(ctx).Error(); err != nil {
				return err
			}
		}
	}
	return nil
}

func discovered(lists []*metav1.APIResourceList, group, plural string) bool {
	return slices.ContainsFunc(lists, func(list *metav1.APIResourceList) bool {
		return list.GroupVersion == group && slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == plural })
	})
}

func poll(ctx context.Context, what string, ask func() error) error {
	var last error
	err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(context.Context) (bool, error) {
		last = ask()
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("%s: not ready after %s: %w", what, patience, last)
	}
	return nil
}

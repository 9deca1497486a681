// The real policy engine, as a node runs it, behind JSON lines: one request a line on stdin, one answer a line on stdout,
// in order. README.md of this folder describes both. Nothing here decides anything: verdicts, refusals, pull sources and
// candidates are the library's; this program asks and writes down.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/sirupsen/logrus"
	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/signature"
	_ "go.podman.io/image/v5/transports/alltransports" // turns on the scope checks of every transport, as in CRI-O
	"go.podman.io/image/v5/types"
	"gopkg.in/yaml.v3"
)

type request struct {
	ID          string            `json:"id"`
	Policy      *string           `json:"policy"`
	PolicyBytes []byte            `json:"policyBytes"` // instead of policy, for text that is not UTF-8
	Registries  *string           `json:"registries"`
	RegistriesD map[string]string `json:"registriesd"`
	References  bool              `json:"references"`
	Keyring     []byte            `json:"keyring"`
	Images      []string          `json:"images"`
}

type answer struct {
	ID                 string         `json:"id"`
	Refused            *string        `json:"refused,omitempty"`
	RegistriesRefused  *string        `json:"registriesRefused,omitempty"`
	RegistriesDRefused *string        `json:"registriesdRefused,omitempty"`
	Verdicts           []verdict      `json:"verdicts,omitempty"`
	Sources            []imageSources `json:"sources,omitempty"`
	Attachments        []attachments  `json:"attachments,omitempty"`
	References         []parsed       `json:"references,omitempty"`
	Keys               []string       `json:"keys,omitempty"`  // fingerprints
	Error              string         `json:"error,omitempty"` // the request itself was not understood
}

type verdict struct {
	Image   string `json:"image"`
	Verdict string `json:"verdict"`
	Overall string `json:"overall,omitempty"`
	Text    string `json:"text,omitempty"`
}

type imageSources struct {
	Image   string   `json:"image"`
	Sources []source `json:"sources,omitempty"`
	Prefix  string   `json:"prefix,omitempty"`
	Blocked bool     `json:"blocked,omitempty"`
	Text    string   `json:"text,omitempty"`
}

type source struct {
	Ref      string `json:"ref"`
	Insecure bool   `json:"insecure,omitempty"`
}

type attachments struct {
	Image     string `json:"image"`
	Use       bool   `json:"use"`
	Namespace string `json:"namespace,omitempty"` // the last one consulted; "default-docker" for that section
	Lookaside string `json:"lookaside,omitempty"`
	Text      string `json:"text,omitempty"`
}

type parsed struct {
	Image      string   `json:"image"`
	Reference  string   `json:"reference,omitempty"`
	Candidates []string `json:"candidates,omitempty"` // scopes in the order of lookup, without "" and the default
	Text       string   `json:"text,omitempty"`
}

func main() {
	dir, err := os.MkdirTemp("", "policy-engine-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	err = serve(newEngine(dir), os.Stdin, os.Stdout)
	os.RemoveAll(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(e *engine, in io.Reader, out io.Writer) error {
	reader := bufio.NewReaderSize(in, 1<<20)
	writer := bufio.NewWriterSize(out, 1<<20)
	encoder := json.NewEncoder(writer)
	encoder.SetEscapeHTML(false)
	for {
		line, err := reader.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			var q request
			var a answer
			if bad := json.Unmarshal(line, &q); bad != nil {
				a = answer{ID: q.ID, Error: bad.Error()}
			} else {
				a = e.answer(&q)
			}
			if err := encoder.Encode(a); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return writer.Flush()
		}
		if err != nil {
			return err
		}
		// The next read would block, so whoever asks may be waiting for what is buffered.
		if reader.Buffered() == 0 {
			if err := writer.Flush(); err != nil {
				return err
			}
		}
	}
}

type engine struct {
	dir           string
	sys           *types.SystemContext
	registries    string // what is in the file that sys points at
	hasRegistries bool
	consulted     *consulted
}

func newEngine(dir string) *engine {
	c := &consulted{}
	logrus.SetOutput(io.Discard)
	logrus.AddHook(c)
	return &engine{
		dir: dir,
		sys: &types.SystemContext{
			SystemRegistriesConfPath:    filepath.Join(dir, "registries.conf"),
			SystemRegistriesConfDirPath: filepath.Join(dir, "registries.conf.d"),
			DockerAuthConfig:            &types.DockerAuthConfig{},
		},
		consulted: c,
	}
}

func (e *engine) answer(q *request) answer {
	a := answer{ID: q.ID}
	images := make([]image, len(q.Images))
	for i, text := range q.Images {
		images[i] = parse(text)
	}
	if q.Keyring != nil {
		// An error here is a signature's rejection, as is a keyring without keys.
		if mechanism, keys, err := signature.NewEphemeralGPGSigningMechanism(q.Keyring); err == nil {
			a.Keys = keys
			mechanism.Close()
		}
	}
	if q.References {
		for _, i := range images {
			a.References = append(a.References, i.candidates())
		}
	}
	text := q.PolicyBytes
	if q.Policy != nil {
		text = []byte(*q.Policy)
	}
	if text != nil {
		e.verdicts(&a, text, images)
	}
	if q.Registries != nil {
		e.sources(&a, *q.Registries, images)
	}
	if q.RegistriesD != nil {
		e.attachments(&a, q.RegistriesD, images)
	}
	return a
}

// image is what CRI-O would ask about: of name:tag@digest it drops the tag before it asks.
type image struct {
	text  string
	named reference.Named
	ref   types.ImageReference
	err   error
}

func parse(text string) image {
	named, err := reference.ParseNormalizedNamed(text)
	if err != nil {
		return image{text: text, err: err}
	}
	if digested, ok := named.(reference.Canonical); ok {
		named, err = reference.WithDigest(reference.TrimNamed(named), digested.Digest())
		if err != nil {
			return image{text: text, err: err}
		}
	}
	named = reference.TagNameOnly(named)
	ref, err := docker.NewReference(named)
	return image{text: text, named: named, ref: ref, err: err}
}

func (i *image) candidates() parsed {
	if i.err != nil {
		return parsed{Image: i.text, Text: i.err.Error()}
	}
	return parsed{
		Image:      i.text,
		Reference:  i.named.String(),
		Candidates: append([]string{i.ref.PolicyConfigurationIdentity()}, i.ref.PolicyConfigurationNamespaces()...),
	}
}

func (e *engine) verdicts(a *answer, text []byte, images []image) {
	policy, err := signature.NewPolicyFromBytes(text)
	if err != nil {
		a.Refused = said(err.Error())
		return
	}
	asWritten, err := signature.NewPolicyContext(policy)
	if err != nil {
		a.Refused = said(err.Error())
		return
	}
	rejectsFirst, err := signature.NewPolicyContext(withRejectsFirst(policy))
	if err != nil {
		a.Refused = said(err.Error())
		return
	}
	a.Verdicts = make([]verdict, 0, len(images))
	for _, i := range images {
		if i.err != nil {
			a.Verdicts = append(a.Verdicts, verdict{Image: i.text, Verdict: "Unparsable", Text: i.err.Error()})
			continue
		}
		v := verdict{Image: i.text}
		v.Verdict, v.Text = ask(asWritten, i.ref)
		if v.Verdict == "RequiresSignature" {
			if overall, why := ask(rejectsFirst, i.ref); overall == "Rejects" || why == neverSatisfied {
				v.Overall = "Rejects"
			}
		}
		a.Verdicts = append(a.Verdicts, v)
	}
}

// neverSatisfied is what signedBaseLayer always answers.
const neverSatisfied = "signedBaseLayer not implemented yet!"

func ask(pc *signature.PolicyContext, ref types.ImageReference) (verdict, text string) {
	allowed, err := pc.IsRunningImageAllowed(context.Background(), unsigned{ref})
	switch {
	case allowed:
		return "AcceptsAnything", ""
	case err == nil:
		return "Rejects", "neither allowed nor an error"
	case strings.HasSuffix(err.Error(), " is rejected by policy."):
		return "Rejects", err.Error()
	default:
		return "RequiresSignature", err.Error()
	}
}

// withRejectsFirst moves the requirements that nothing can satisfy to the front of their lists, because the engine stops
// at the first that fails and a verdict of all of them needs to know of a reject behind a missing signature.
func withRejectsFirst(policy *signature.Policy) *signature.Policy {
	reordered := signature.Policy{
		Default:    rejectsFirst(policy.Default),
		Transports: make(map[string]signature.PolicyTransportScopes, len(policy.Transports)),
	}
	for transport, scopes := range policy.Transports {
		copied := make(signature.PolicyTransportScopes, len(scopes))
		for scope, requirements := range scopes {
			copied[scope] = rejectsFirst(requirements)
		}
		reordered.Transports[transport] = copied
	}
	return &reordered
}

func rejectsFirst(requirements signature.PolicyRequirements) signature.PolicyRequirements {
	if len(requirements) < 2 {
		return requirements
	}
	var first, rest signature.PolicyRequirements
	for _, r := range requirements {
		pc, err := signature.NewPolicyContext(&signature.Policy{Default: signature.PolicyRequirements{r}})
		if err != nil {
			return requirements
		}
		if v, text := ask(pc, probe); v == "Rejects" || text == neverSatisfied {
			first = append(first, r)
		} else {
			rest = append(rest, r)
		}
	}
	return append(first, rest...)
}

var probe = func() types.ImageReference {
	i := parse("registry.invalid/probe")
	if i.err != nil {
		panic(i.err)
	}
	return i.ref
}()

// unsigned is an image of which nothing is known but its name.
type unsigned struct{ ref types.ImageReference }

func (u unsigned) Reference() types.ImageReference              { return u.ref }
func (u unsigned) Signatures(context.Context) ([][]byte, error) { return nil, nil }
func (u unsigned) Manifest(context.Context) ([]byte, string, error) {
	return nil, "", errors.New("the manifest of an unsigned image was asked for")
}

func (e *engine) sources(a *answer, text string, images []image) {
	if err := e.useRegistries(text); err != nil {
		a.Error = err.Error()
		return
	}
	if _, err := sysregistriesv2.FindRegistry(e.sys, "registry.invalid/probe"); err != nil {
		a.RegistriesRefused = said(e.withoutDir(err.Error()))
	}
	a.Sources = make([]imageSources, 0, len(images))
	for _, i := range images {
		a.Sources = append(a.Sources, e.sourcesOf(&i))
	}
}

func (e *engine) sourcesOf(i *image) imageSources {
	s := imageSources{Image: i.text}
	if i.err != nil {
		s.Text = i.err.Error()
		return s
	}
	registry, err := sysregistriesv2.FindRegistry(e.sys, i.named.Name())
	if err != nil {
		s.Text = e.withoutDir(err.Error())
		return s
	}
	if registry == nil {
		return s
	}
	s.Prefix = registry.Prefix
	s.Blocked = registry.Blocked
	found, err := registry.PullSourcesFromReference(i.named)
	if err != nil {
		s.Text = err.Error()
		return s
	}
	for _, f := range found {
		s.Sources = append(s.Sources, source{Ref: f.Reference.String(), Insecure: f.Endpoint.Insecure})
	}
	return s
}

func (e *engine) useRegistries(text string) error {
	if e.hasRegistries && e.registries == text {
		return nil
	}
	sysregistriesv2.InvalidateCache()
	e.registries, e.hasRegistries = text, true
	return os.WriteFile(e.sys.SystemRegistriesConfPath, []byte(text), 0o600)
}

func (e *engine) attachments(a *answer, files map[string]string, images []image) {
	dir, err := os.MkdirTemp(e.dir, "registries.d-")
	if err != nil {
		a.Error = err.Error()
		return
	}
	defer os.RemoveAll(dir)
	merged := registriesD{Docker: map[string]attachmentSwitch{}}
	for name, text := range files {
		if name == "" || name != filepath.Base(name) {
			a.Error = fmt.Sprintf("registriesd: %q is not a file name", name)
			return
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			a.Error = err.Error()
			return
		}
		if strings.HasSuffix(name, ".yaml") {
			merged.add(text)
		}
	}
	if !e.hasRegistries {
		if err := e.useRegistries(""); err != nil {
			a.Error = err.Error()
			return
		}
	}
	sys := *e.sys
	sys.RegistriesDirPath = dir
	if _, err := docker.SignatureStorageBaseURL(&sys, probe, false); err != nil {
		a.RegistriesDRefused = said(strings.ReplaceAll(err.Error(), dir, "/etc/containers/registries.d"))
		return
	}
	a.Attachments = make([]attachments, 0, len(images))
	for _, i := range images {
		a.Attachments = append(a.Attachments, e.attachmentsOf(&sys, &i, &merged))
	}
}

// attachmentsOf sets up a client for the image, which asks no registry but looks up registries.d. The library keeps the
// outcome to itself and logs which sections it consults: it stops at the first that has the switch, so the switch of the
// last one, or false, is the outcome.
func (e *engine) attachmentsOf(sys *types.SystemContext, i *image, files *registriesD) attachments {
	s := attachments{Image: i.text}
	if i.err != nil {
		s.Text = i.err.Error()
		return s
	}
	lookaside, err := docker.SignatureStorageBaseURL(sys, i.ref, false)
	if err != nil {
		s.Text = err.Error()
		return s
	}
	s.Lookaside = lookaside.String()
	e.consulted.section = ""
	logrus.SetLevel(logrus.DebugLevel)
	destination, err := i.ref.NewImageDestination(context.Background(), sys)
	logrus.SetLevel(logrus.InfoLevel)
	if err != nil {
		s.Text = e.withoutDir(err.Error())
		return s
	}
	destination.Close()
	s.Namespace = e.consulted.section
	s.Use = files.switchOf(s.Namespace)
	return s
}

type attachmentSwitch struct {
	Use *bool `yaml:"use-sigstore-attachments"`
}

type registriesD struct {
	Default *attachmentSwitch           `yaml:"default-docker"`
	Docker  map[string]attachmentSwitch `yaml:"docker"`
}

// add merges a file that the library has yet to judge; where it refuses the file nobody asks for the switches.
func (r *registriesD) add(text string) {
	var file registriesD
	if yaml.Unmarshal([]byte(text), &file) != nil {
		return
	}
	if file.Default != nil {
		r.Default = file.Default
	}
	for name, section := range file.Docker {
		r.Docker[name] = section
	}
}

func (r *registriesD) switchOf(section string) bool {
	s := r.Docker[section]
	if section == defaultSection && r.Default != nil {
		s = *r.Default
	}
	return s.Use != nil && *s.Use
}

const defaultSection = "default-docker"

// consulted remembers the section of registries.d that the library said it used last.
type consulted struct{ section string }

func (c *consulted) Levels() []logrus.Level { return []logrus.Level{logrus.DebugLevel} }

func (c *consulted) Fire(entry *logrus.Entry) error {
	if section, ok := strings.CutPrefix(entry.Message, ` Sigstore attachments: using "docker" namespace `); ok {
		c.section = section
	} else if entry.Message == ` Sigstore attachments: using "default-docker" configuration` {
		c.section = defaultSection
	}
	return nil
}

// withoutDir names the file as a node names it.
func (e *engine) withoutDir(text string) string {
	return strings.ReplaceAll(text, e.dir, "/etc/containers")
}

func said(text string) *string { return &text }

package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// users and the groups that they are in. What the others may do is for RBAC, that is for the tests, to say.
var users = map[string]string{"admin": "system:masters", "reader": "", "partial": "", "nobody": ""}

// certificateUser is an administrator who shows a client certificate instead of a token.
const certificateUser = "certificate"

type identities struct {
	ca          string
	kubeconfigs map[string]string
	tokens      map[string]string
}

// writeIdentities makes a CA, the server's certificate, a client certificate, the key for service accounts, tokens and a
// kubeconfig for each user.
func writeIdentities(data, url string) (*identities, error) {
	ca, err := newCA()
	if err != nil {
		return nil, err
	}
	serverCert, serverKey, err := ca.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default.svc"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return nil, err
	}
	clientCert, clientKey, err := ca.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: certificateUser, Organization: []string{"system:masters"}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, err
	}
	found := &identities{
		ca:          filepath.Join(data, "ca.crt"),
		kubeconfigs: map[string]string{},
		tokens:      map[string]string{},
	}
	files := map[string][]byte{"ca.crt": ca.pem, "server.crt": serverCert, "server.key": serverKey, "service-account.key": serverKey}
	var tokens strings.Builder
	for user, group := range users {
		token, err := newToken()
		if err != nil {
			return nil, err
		}
		found.tokens[user] = token
		fmt.Fprintf(&tokens, "%s,%s,%s,%q\n", token, user, user, group)
		if err := found.writeKubeconfig(data, url, user, ca.pem, &api.AuthInfo{Token: token}); err != nil {
			return nil, err
		}
	}
	files["tokens.csv"] = []byte(tokens.String())
	certificate := &api.AuthInfo{ClientCertificateData: clientCert, ClientKeyData: clientKey}
	if err := found.writeKubeconfig(data, url, certificateUser, ca.pem, certificate); err != nil {
		return nil, err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(data, name), content, 0o600); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (i *identities) writeKubeconfig(data, url, user string, ca []byte, auth *api.AuthInfo) error {
	config := api.NewConfig()
	config.Clusters["test"] = &api.Cluster{Server: url, CertificateAuthorityData: ca}
	config.AuthInfos[user] = auth
	config.Contexts["test"] = &api.Context{Cluster: "test", AuthInfo: user, Namespace: "default"}
	config.CurrentContext = "test"
	i.kubeconfigs[user] = filepath.Join(data, user+".kubeconfig")
	return clientcmd.WriteToFile(*config, i.kubeconfigs[user])
}

func newToken() (string, error) {
	random := make([]byte, 16)
	_, err := rand.Read(random)
	return hex.EncodeToString(random), err
}

type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	pem  []byte
}

func newCA() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "test-ca"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{cert, key, pemBlock("CERTIFICATE", der)}, nil
}

// issue completes the template; certificate and key come back as PEM.
func (a *authority) issue(template *x509.Certificate) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, nil, err
	}
	template.NotBefore, template.NotAfter = a.cert.NotBefore, a.cert.NotAfter
	template.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, private.Public(), a.key)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pemBlock("CERTIFICATE", der), pemBlock("EC PRIVATE KEY", keyDER), nil
}

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

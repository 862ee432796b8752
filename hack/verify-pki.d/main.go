// Verifies the certificates of a control plane as its components do: with Go's crypto/x509 and crypto/tls.
//
//	go run . ROOT PKI    the host's root folder, and its certificatesDir below it
//
// Prints one line for each certificate, and what is wrong; exits with 1 where something is.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// leaf is a certificate that a CA has signed, and what it is used for.
type leaf struct {
	name, ca string
	usages   []x509.ExtKeyUsage
}

var (
	server = x509.ExtKeyUsageServerAuth
	client = x509.ExtKeyUsageClientAuth
	leaves = []leaf{
		{"apiserver", "ca", []x509.ExtKeyUsage{server}},
		{"apiserver-kubelet-client", "ca", []x509.ExtKeyUsage{client}},
		{"front-proxy-client", "front-proxy-ca", []x509.ExtKeyUsage{client}},
		{"etcd/server", "etcd/ca", []x509.ExtKeyUsage{server, client}},
		{"etcd/peer", "etcd/ca", []x509.ExtKeyUsage{server, client}},
		{"etcd/healthcheck-client", "etcd/ca", []x509.ExtKeyUsage{client}},
		{"apiserver-etcd-client", "etcd/ca", []x509.ExtKeyUsage{client}},
	}
	kubeconfigs = []string{"admin", "super-admin", "kubelet", "controller-manager", "scheduler"}
	wrong       int
)

func report(name string, errs ...error) {
	said := false
	for _, err := range errs {
		if err != nil {
			fmt.Printf("go       %-46s WRONG: %v\n", name, err)
			wrong, said = wrong+1, true
		}
	}
	if !said {
		fmt.Printf("go       %-46s ok\n", name)
	}
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: verify-pki ROOT PKI")
		os.Exit(64)
	}
	root, pki := os.Args[1], os.Args[2]
	for _, leaf := range leaves {
		certificate, err := os.ReadFile(filepath.Join(pki, leaf.name+".crt"))
		if os.IsNotExist(err) {
			continue // another etcd, or kubelets that somebody else signs for
		}
		key, keyErr := os.ReadFile(filepath.Join(pki, leaf.name+".key"))
		report(leaf.name, err, keyErr, verify(certificate, key, filepath.Join(pki, leaf.ca+".crt"), leaf.usages))
	}
	for _, name := range kubeconfigs {
		text, err := os.ReadFile(filepath.Join(root, "etc/kubernetes", name+".conf"))
		if os.IsNotExist(err) {
			continue // a phase that was skipped
		}
		report(name+".conf", err, verifyKubeconfig(text, pki))
	}
	if wrong > 0 {
		os.Exit(1)
	}
}

// verify checks that key and certificate are a pair, that the CA signed it for each usage, and that a client of a server
// finds the names that it dials.
func verify(certificate, key []byte, ca string, usages []x509.ExtKeyUsage) error {
	if _, err := tls.X509KeyPair(certificate, key); err != nil {
		return fmt.Errorf("certificate and key: %w", err)
	}
	authority, err := os.ReadFile(ca)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return fmt.Errorf("%s holds no certificate", ca)
	}
	block, _ := pem.Decode(certificate)
	parsed, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	for _, usage := range usages { // each by itself: Verify is content with any of several
		options := x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{usage}, CurrentTime: time.Now()}
		if _, err := parsed.Verify(options); err != nil {
			return err
		}
	}
	if usages[0] == server {
		return verifyNames(parsed)
	}
	return nil
}

// verifyNames checks every name of a server's certificate as a client does; a wildcard by a name that it covers.
func verifyNames(certificate *x509.Certificate) error {
	if len(certificate.DNSNames) == 0 || len(certificate.IPAddresses) == 0 {
		return fmt.Errorf("a server needs names and addresses, here are %v %v", certificate.DNSNames, certificate.IPAddresses)
	}
	for _, name := range certificate.DNSNames {
		if err := certificate.VerifyHostname(strings.Replace(name, "*", "any", 1)); err != nil {
			return err
		}
	}
	for _, address := range certificate.IPAddresses {
		if err := certificate.VerifyHostname(address.String()); err != nil {
			return err
		}
	}
	return nil
}

// verifyKubeconfig checks the client certificate that a kubeconfig embeds, and that it trusts the cluster's CA.
func verifyKubeconfig(text []byte, pki string) error {
	field := func(name string) []byte {
		found := regexp.MustCompile(name + `: *"?([A-Za-z0-9+/=]+)`).FindSubmatch(text)
		if found == nil {
			return nil
		}
		value, _ := base64.StdEncoding.DecodeString(string(found[1]))
		return value
	}
	ca, err := os.ReadFile(filepath.Join(pki, "ca.crt"))
	if err != nil {
		return err
	}
	if !bytes.Equal(bytes.TrimSpace(field("certificate-authority-data")), bytes.TrimSpace(ca)) {
		return fmt.Errorf("trusts another CA than %s/ca.crt", pki)
	}
	usages := []x509.ExtKeyUsage{client}
	return verify(field("client-certificate-data"), field("client-key-data"), filepath.Join(pki, "ca.crt"), usages)
}

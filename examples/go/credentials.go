package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/credentials/local"
)

// credentialOptions returns TLS or plaintext, and the key of each call, as the environment says.
func credentialOptions() ([]grpc.DialOption, error) {
	key := keyOfEnvironment()
	if key == nil {
		transport, err := transportCredentials(insecure.NewCredentials())
		return []grpc.DialOption{grpc.WithTransportCredentials(transport)}, err
	}
	// Without TLS, the key is sent to this machine only: local refuses to connect to another one.
	transport, err := transportCredentials(local.NewCredentials())
	return []grpc.DialOption{
		grpc.WithTransportCredentials(transport), grpc.WithPerRPCCredentials(key),
	}, err
}

// transportCredentials returns TLS with the files that the environment names, else plaintext. A certificate
// of the client is read at each handshake, so that its files can be replaced.
func transportCredentials(plaintext credentials.TransportCredentials) (credentials.TransportCredentials, error) {
	ca := os.Getenv("SESSION_HISTORY_CA")
	if ca == "" {
		return plaintext, nil
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificates", ca)
	}
	if cert := os.Getenv("SESSION_HISTORY_CERT"); cert != "" {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(cert, os.Getenv("SESSION_HISTORY_KEY"))
			return &pair, err
		}
	}
	return credentials.NewTLS(config), nil
}

// keyOfEnvironment returns an API key, or the token in a file that another program renews; nil: neither.
func keyOfEnvironment() credentials.PerRPCCredentials {
	key, file := os.Getenv("SESSION_HISTORY_API_KEY"), os.Getenv("SESSION_HISTORY_API_KEY_FILE")
	switch {
	case key != "":
		return bearer(func(context.Context) (string, error) { return key, nil })
	case file != "":
		return bearer(func(context.Context) (string, error) {
			text, err := os.ReadFile(file)
			return strings.TrimSpace(string(text)), err
		})
	}
	return nil
}

// bearer returns the key of a call. gRPC calls it for each attempt, so that a token can be renewed.
type bearer func(context.Context) (string, error)

func (key bearer) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	text, err := key(ctx)
	return map[string]string{"authorization": "Bearer " + text}, err
}

// RequireTransportSecurity leaves the decision to credentialOptions.
func (bearer) RequireTransportSecurity() bool { return false }

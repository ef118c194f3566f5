package client_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/weirlog/weir/client"
)

// newServer returns a server that answers every download with one event.
func newServer() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/oauth/token" {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"access_token":"t","expires_in":3600,"token_type":"Bearer"}`)
			return
		}
		if r.Method == http.MethodPost {
			io.WriteString(w, `{"recorded":1,"duplicates":0}`)
			return
		}
		z := gzip.NewWriter(w)
		io.WriteString(z, `{"time":1}`+"\n")
		z.Close()
	}))
}

func newClient(url string) *client.Client {
	c, err := client.New(client.Config{URL: url, ClientID: "mdb_sa_id_1", ClientSecret: "secret"})
	if err != nil {
		panic(err)
	}
	return c
}

func ExampleClient_Download() {
	server := newServer()
	defer server.Close()
	c := newClient(server.URL)

	week, err := client.ParseTime("7d", time.Now())
	if err != nil {
		panic(err)
	}
	var d *client.Download
	err = client.Retry(context.Background(), client.RetryOptions{Most: time.Minute}, func() (err error) {
		d, err = c.Download(context.Background(), client.Source{Project: "32b6e34b3d91647abb20e7b8", Workspace: "prod"},
			client.Query{Start: &week})
		return err
	})
	if err != nil {
		panic(err)
	}
	defer d.Close()
	var file bytes.Buffer
	saved, err := client.Copy(&file, d) // Save writes to a file
	fmt.Println(saved.Events, err)
	// Output: 1 <nil>
}

func ExampleClient_Record() {
	server := newServer()
	defer server.Close()

	line := []byte(`{"time":1785000000000,"class_uid":3002,"metadata":{"uid":"4f1c"}}` + "\n")
	r, err := newClient(server.URL).Record(context.Background(), "32b6e34b3d91647abb20e7b8", "prod", line, false)
	fmt.Println(r.Recorded, err)
	// Output: 1 <nil>
}

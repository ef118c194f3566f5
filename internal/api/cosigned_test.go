package api

import (
	"crypto/ed25519"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
)

// Every reply with a checkpoint has the cosignatures of its witnesses, one of each.
func TestCosignaturesLeaveWithTheCheckpoint(t *testing.T) {
	w := newWorld(t, Options{})
	var signers []note.Signer
	for _, name := range []string{"first.example/w", "second.example/w", "stranger.example/w"} {
		_, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		witness, err := torchwood.NewCosignatureSigner(name, private)
		if err != nil {
			t.Fatal(err)
		}
		signers, w.witness = append(signers, witness), append(w.witness, witness.Verifier())
	}
	w.witness = w.witness[:2] // the third one is not a witness of this node
	w.server = w.another()
	home := w.filled()
	for _, log := range []string{demoLog, orgLog} {
		w.cosign(log, signers)
	}
	exits := map[string]bool{}
	for _, op := range w.server.table {
		if op.method != get {
			continue
		}
		for _, accept := range []string{latest + "," + download, "Accept: text/plain"} {
			rec := w.call(op, op.target(home), accept)
			body := strings.ReplaceAll(rec.Body.String(), `\n`, "\n")
			if !strings.Contains(body, "\n\n— example.org/") && !strings.Contains(body, "\n— example.org/") {
				continue
			}
			exits[op.id+" "+accept] = true
			for i, s := range signers {
				if n := strings.Count(body, "\n— "+s.Name()+" "); i < 2 && n != 1 || i == 2 && n != 0 {
					t.Errorf("%s, %s: %d cosignatures by %s:\n%s", op.id, accept, n, s.Name(), body)
				}
			}
		}
	}
	for _, op := range []string{"getGroupLogCheckpoint", "getOrgLogCheckpoint", "proveGroupLogEntry", "proveOrgLogEntry",
		"proveGroupLogDownload", "proveOrgLogDownload"} {
		if !exits[op+" Accept: text/plain"] {
			t.Errorf("%s: no checkpoint left", op)
		}
	}
	if !exits["proveGroupLogEntry "+latest+","+download] {
		t.Error("no checkpoint in JSON")
	}
}

// cosign makes witnesses sign the current checkpoint of a log.
func (w *world) cosign(log string, by []note.Signer) {
	w.t.Helper()
	h, err := w.logs.Head(w.t.Context(), log)
	if err != nil {
		w.t.Fatal(err)
	}
	text, _, _ := strings.Cut(h.Checkpoint, "\n\n")
	for _, s := range by {
		signed, err := note.Sign(&note.Note{Text: text + "\n"}, s)
		if err != nil {
			w.t.Fatal(err)
		}
		_, line, _ := strings.Cut(string(signed), "\n\n")
		if err := w.logs.KeepCosignature(w.t.Context(), log, h.Size, line); err != nil {
			w.t.Fatal(err)
		}
	}
}

package folder

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"
)

// recordingDisk writes down which names change, and when the folder of a name is synced.
type recordingDisk struct {
	osDisk
	changes []change
}

// change is a name that begins to stand for something, or a folder whose names are synced.
type change struct {
	synced string // the folder; "" if a name changes
	name   string
	now    string // content of the file, or aFolder; "" if there is nothing any more
}

const aFolder = "/"

// content returns what a name stands for while there is power.
func (d *recordingDisk) content(name string) (now string) {
	for _, c := range d.changes {
		if c.synced == "" && c.name == name {
			now = c.now
		}
	}
	return now
}

func (d *recordingDisk) note(name, now string) { d.changes = append(d.changes, change{"", name, now}) }

func (d *recordingDisk) writeFile(name string, data []byte) error {
	d.note(name, string(data)) // durable.WriteNew has synced the content
	return d.osDisk.writeFile(name, data)
}

func (d *recordingDisk) link(from, to string) error {
	err := d.osDisk.link(from, to)
	if err == nil {
		d.note(to, d.content(from))
	}
	return err
}

func (d *recordingDisk) rename(from, to string) error {
	err := d.osDisk.rename(from, to)
	if err == nil {
		d.note(to, d.content(from))
		d.note(from, "")
	}
	return err
}

func (d *recordingDisk) remove(name string) error {
	err := d.osDisk.remove(name)
	if err == nil {
		d.note(name, "")
	}
	return err
}

func (d *recordingDisk) mkdir(name string) error {
	err := d.osDisk.mkdir(name)
	if err == nil {
		d.note(name, aFolder)
	}
	return err
}

func (d *recordingDisk) syncDir(name string) error {
	d.changes = append(d.changes, change{synced: name})
	return d.osDisk.syncDir(name)
}

// afterCut returns all that a name may stand for if the power fails after these changes: what it was when its folder
// was last synced, or anything later; nothing, if a folder above it may be lost. above is a folder that stays.
func afterCut(changes []change, name, above string) map[string]bool {
	if name == above {
		return map[string]bool{aFolder: true}
	}
	may, last := map[string]bool{"": true}, ""
	for _, c := range changes {
		switch {
		case c.synced == filepath.Dir(name):
			may = map[string]bool{last: true}
		case c.synced == "" && c.name == name:
			last = c.now
			may[last] = true
		}
	}
	if afterCut(changes, filepath.Dir(name), above)[""] {
		may[""] = true
	}
	return may
}

// step is a call that changes the bucket, and what the object is after it.
type step struct {
	call func(*Bucket, context.Context, string) error
	key  string
	then string
}

func put(key, data string) step {
	return step{func(b *Bucket, ctx context.Context, key string) error { return b.Put(ctx, key, []byte(data)) }, key,
		data}
}

func putNew(key, data string) step {
	return step{func(b *Bucket, ctx context.Context, key string) error { return b.PutNew(ctx, key, []byte(data)) }, key,
		data}
}

func remove(key string) step {
	return step{func(b *Bucket, ctx context.Context, key string) error { return b.Delete(ctx, key) }, key, ""}
}

// record makes the calls on a bucket in a folder that does not exist, two levels below one that does. It returns all
// changes, and how many there were after each call.
func record(t *testing.T, above string, steps []step) (root string, changes []change, after []int) {
	t.Helper()
	root = filepath.Join(above, "new", "bucket")
	d := &recordingDisk{}
	b, err := open(root, d)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, s := range steps {
		if err := s.call(b, t.Context(), s.key); err != nil {
			t.Fatal(err)
		}
		after = append(after, len(d.changes))
	}
	return root, slices.Clone(d.changes), after
}

var steps = []step{putNew("a/b/1", "one"), put("a/b/2", "two"), put("a/b/2", "second"), putNew("a/c/3", "three"),
	remove("a/b/1"), putNew("a/b/1", "one again"), remove("a/c/3"), put("d", "four")}

// If the power fails at any moment, an object is what it was before the call that was under way, or what it is after
// it; once a call has returned, it is the latter, whatever else is lost.
func TestPowerCutLeavesTheObjectOfBeforeOrAfterACall(t *testing.T) {
	above := t.TempDir()
	root, changes, after := record(t, above, steps)
	before := 0
	held := map[string]string{} // what is in the bucket for good
	for i, s := range steps {
		if _, ok := held[s.key]; !ok {
			held[s.key] = ""
		}
		for cut := before; cut <= after[i]; cut++ {
			for key := range held {
				want := map[string]bool{held[key]: true}
				if key == s.key && cut < after[i] {
					want[s.then] = true
				} else if key == s.key {
					want = map[string]bool{s.then: true}
				}
				for got := range afterCut(changes[:cut], filepath.Join(root, filepath.FromSlash(key)), above) {
					if !want[got] {
						t.Errorf("call %d, power cut after %d of %d changes: %s may be %q, want %v", i, cut-before,
							after[i]-before, key, got, slices.Collect(maps.Keys(want)))
					}
				}
			}
		}
		before, held[s.key] = after[i], s.then
	}
	for key, data := range held { // the last one too
		if got := afterCut(changes, filepath.Join(root, filepath.FromSlash(key)), above); len(got) != 1 || !got[data] {
			t.Errorf("in the end %s may be %v, want %q", key, got, data)
		}
	}
}

// The test above proves something only if it fails when any sync of a folder is missing.
func TestPowerCutTestFindsEachMissingSync(t *testing.T) {
	above := t.TempDir()
	root, changes, _ := record(t, above, steps[:1])
	name := filepath.Join(root, "a", "b", "1")
	for i, c := range changes {
		if c.synced == "" || c.synced == filepath.Join(root, tmpFolder) {
			continue
		}
		without := slices.Delete(slices.Clone(changes), i, i+1)
		again := slices.ContainsFunc(without[i:], func(later change) bool { return later.synced == c.synced })
		if !again && len(afterCut(without, name, above)) == 1 {
			t.Errorf("without the sync of %s the object is there for certain", c.synced)
		}
	}
	if fmt.Sprint(afterCut(changes, name, above)) != "map[one:true]" {
		t.Errorf("with all of them it may be %v", afterCut(changes, name, above))
	}
}

package wal

import (
	"sync"
	"time"
)

// recheckForged is how long an object that does not verify is not read again. An operator may have put it back from a
// copy.
const recheckForged = 10 * time.Minute

// maxForged bounds how many objects are remembered not to verify. With more, some are read again each time.
const maxForged = 10_000

// wholeObject stands for the offset of a section: nothing in the object can be used.
const wholeObject = -1

// forgedObjects remembers which objects, and which sections of them, do not verify, so that each is read and reported
// once.
type forgedObjects struct {
	mu      sync.Mutex
	objects map[string]*forgedObject
	report  func(object string, err error)
}

type forgedObject struct {
	found    time.Time
	err      error // if nothing in the object can be used
	sections map[int64]bool
}

func newForgedObjects() *forgedObjects {
	return &forgedObjects{objects: map[string]*forgedObject{}, report: func(string, error) {}}
}

// OnForged has report called for each object, or section of one, that is found not to verify, every ten minutes while
// it is there. It is called before the Reader is used.
func (r *Reader) OnForged(report func(object string, err error)) { r.forged.report = report }

// note remembers that a section, or the whole object, does not verify.
func (f *forgedObjects) note(object string, offset int64, err error) {
	f.mu.Lock()
	o := f.get(object)
	if o == nil {
		if len(f.objects) >= maxForged {
			clear(f.objects)
		}
		o = &forgedObject{found: time.Now(), sections: map[int64]bool{}}
		f.objects[object] = o
	}
	fresh := !o.sections[offset]
	o.sections[offset] = true
	if offset == wholeObject {
		o.err = err
	}
	f.mu.Unlock()
	if fresh {
		f.report(object, err)
	}
}

// get returns what is known of an object; nil if nothing is, or it is too old.
func (f *forgedObjects) get(object string) *forgedObject {
	o := f.objects[object]
	if o != nil && time.Since(o.found) > recheckForged {
		delete(f.objects, object)
		return nil
	}
	return o
}

func (f *forgedObjects) whole(object string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if o := f.get(object); o != nil {
		return o.err
	}
	return nil
}

func (f *forgedObjects) any(object string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.get(object) != nil
}

func (f *forgedObjects) has(object string, offset int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := f.get(object)
	return o != nil && o.sections[offset]
}

package wal

import (
	"sync"
	"time"
)

// recheckForged is how long an object that does not verify is not read again. Then an operator may have restored it
// from a copy.
const recheckForged = 10 * time.Minute

// maxForged bounds how many objects are remembered that do not verify. If there are more, some are read again each
// time.
const maxForged = 10_000

// wholeObject is used as the offset of a section, and means that nothing in the object can be used.
const wholeObject = -1

// forgedObjects remembers the objects, and the sections of objects, that do not verify, so that each is read and
// reported once in recheckForged.
type forgedObjects struct {
	mu      sync.Mutex
	objects map[string]*forgedObject
	report  func(object string, err error)
}

type forgedObject struct {
	found    time.Time
	err      error // not nil if nothing in the object can be used
	sections map[int64]bool
}

func newForgedObjects() *forgedObjects {
	return &forgedObjects{objects: map[string]*forgedObject{}, report: func(string, error) {}}
}

// OnForged sets the function that is called for each object, or section of an object, that does not verify. While the
// object exists, this happens every ten minutes. Call OnForged before using the Reader.
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

// get returns the entry of an object. It returns nil if there is none, or if it is older than recheckForged.
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

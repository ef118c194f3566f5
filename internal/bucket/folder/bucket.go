package folder

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/trial"
	"github.com/weirlog/weir/internal/filelock"
)

// Bucket is a bucket in a folder: the object at key "a/b" is the file a/b, which any other program can read.
//
// # What a crash can leave
//
// A write goes to a file below .tmp, which is fsynced, then linked (PutNew) or renamed (Put) to its name. Then the
// folder is fsynced, and the write returns. So a crash at any moment leaves an object whole or absent, and perhaps
// files below .tmp, which the next Open removes. Folders that Open or a write creates are fsynced in their
// parents first.
//
// # What a read shows
//
// Between the link and the fsync of the folder, a power failure could still remove an object. Until that fsync has
// returned, Get and List of the same Bucket behave as if the object did not exist, and a PutNew of the same key waits.
// So what a read shows is durable, and no decision rests on an object that a crash can remove. This state is in memory,
// so a folder can have only one writing process at a time: Open locks the folder (flock), and a second process gets
// filelock.ErrLocked. Many nodes on one bucket need storage that is durable when it replies, such as S3.
//
// # A failed fsync
//
// After a failed fsync the kernel may report later ones as successful although the data never reached the disk (Rebello
// et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020). So a failed fsync is never repeated on the
// same file: the write fails, its file is removed, and a new attempt writes a new file. If the fsync of the folder
// failed, the new name is removed again. If that fails too, the key is in doubt: Get, List and PutNew of this key
// return an error until the folder is opened again.
type Bucket struct {
	root string
	made []string // folders that Open made, from root upward
	disk disk
	lock io.Closer

	mu       sync.Mutex
	settled  *sync.Cond          // signalled whenever a key leaves pending
	pending  map[string]struct{} // keys that are being written; they may be linked, and are not durable yet
	doubtful map[string]error    // keys whose fsync failed and that could not be removed
	folders  sync.Map            // folders that are known to be durable
	making   sync.Mutex          // held while a folder is made durable
	trial    *trial.Trial
}

const (
	tmpFolder = ".tmp"
	lockFile  = ".lock"
)

// Open opens the bucket in the folder root, which it makes if it does not exist, and locks it. Close removes the
// folders that Open made if nothing was stored in them.
func Open(root string) (*Bucket, error) { return open(root, osDisk{}) }

func open(root string, d disk) (*Bucket, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("open bucket: %w", err)
	}
	made := missing(root)
	for _, path := range slices.Backward(made) {
		if err := d.mkdir(path); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("open bucket %s: %w", root, err)
		}
	}
	lock, err := filelock.Acquire(filepath.Join(root, lockFile))
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", root, err)
	}
	b := &Bucket{root: root, made: made, disk: d, lock: lock, pending: map[string]struct{}{},
		doubtful: map[string]error{}}
	b.settled, b.trial = sync.NewCond(&b.mu), b.newTrial()
	if err := b.clean(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("open bucket %s: %w", root, err)
	}
	return b, nil
}

// OpenToOthers tells whether users other than the owner of the folder root may list, read or change its content.
func OpenToOthers(root string) (mode fs.FileMode, open bool) {
	st, err := os.Stat(root)
	if err != nil {
		return 0, false
	}
	return st.Mode().Perm(), st.Mode().Perm()&0o077 != 0
}

// clean removes the unfinished files of earlier processes.
func (b *Bucket) clean() error {
	tmp := filepath.Join(b.root, tmpFolder)
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return err
	}
	return b.syncMade()
}

// syncMade makes the names of root and of the folders that Open made above it durable.
func (b *Bucket) syncMade() error {
	err := b.disk.syncDir(filepath.Dir(b.root)) // an earlier process may have made it and died
	for _, path := range b.made[min(1, len(b.made)):] {
		err = errors.Join(err, b.disk.syncDir(filepath.Dir(path)))
	}
	return err
}

// missing returns the folders that must be made for root to exist, from root upward.
func missing(root string) (all []string) {
	for path := root; ; path = filepath.Dir(path) {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return all
		}
		all = append(all, path)
	}
}

// Close unlocks the folder. No other method may run during or after it.
func (b *Bucket) Close() error {
	b.trial.Wait()
	if len(b.made) > 0 {
		b.unmake()
	}
	return b.lock.Close()
}

// unmake removes the folders that Open made, if nothing was stored in them. A folder with any content stays.
func (b *Bucket) unmake() {
	entries, err := os.ReadDir(b.root)
	if err != nil || slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		return e.Name() != tmpFolder &&
			e.Name() != lockFile
	}) {
		return
	}
	for _, path := range append([]string{filepath.Join(b.root, tmpFolder), filepath.Join(b.root, lockFile)},
		b.made...) {
		if os.Remove(path) != nil {
			return
		}
	}
}

func (b *Bucket) path(key string) string { return filepath.Join(b.root, filepath.FromSlash(key)) }

func (b *Bucket) Get(ctx context.Context, key string, r bucket.Range) (*bucket.Object, error) {
	if err := bucket.Begin(ctx, key); err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	if err := b.readable(key); err != nil {
		return nil, fmt.Errorf("get %s: %w", key, err)
	}
	f, err := os.Open(b.path(key))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || isNotFolder(err) {
			err = bucket.ErrNotExist
		}
		return nil, fmt.Errorf("get %s: %w", key, err)
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = bucket.ErrNotExist // a folder: the key is a prefix of other keys
	}
	var off, n int64
	if err == nil {
		if off, n = r.Resolve(st.Size()); off > 0 {
			_, err = f.Seek(off, io.SeekStart)
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("get %s: %w", key, err)
	}
	return &bucket.Object{ReadCloser: &fileObject{f, io.LimitedReader{R: f, N: n}}, Size: st.Size(),
		Version: versionOf(st)}, nil
}

// readable returns ErrNotExist for an object that is not durable yet, and an error for one in doubt.
func (b *Bucket) readable(key string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.doubtful[key]; err != nil {
		return err
	}
	if _, ok := b.pending[key]; ok {
		return bucket.ErrNotExist
	}
	return nil
}

// fileObject reads a part of a file. Files hold whole objects, so a file that ends early is damaged.
type fileObject struct {
	file *os.File
	part io.LimitedReader
}

func (o *fileObject) Read(p []byte) (int, error) {
	n, err := o.part.Read(p)
	if err == io.EOF && o.part.N > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// WriteTo lets the kernel copy the file to a network connection (sendfile).
func (o *fileObject) WriteTo(w io.Writer) (int64, error) {
	n, err := io.Copy(w, &o.part)
	if err == nil && o.part.N > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (o *fileObject) Close() error { return o.file.Close() }

func (b *Bucket) Put(ctx context.Context, key string, data []byte) error {
	if err := b.write(ctx, key, data, b.disk.rename); err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	return nil
}

func (b *Bucket) PutNew(ctx context.Context, key string, data []byte) error {
	if err := b.write(ctx, key, data, b.disk.link); err != nil {
		return fmt.Errorf("put new %s: %w", key, err)
	}
	return nil
}

// write makes a durable file of data. publish gives the file its name.
func (b *Bucket) write(ctx context.Context, key string, data []byte, publish func(tmp, name string) error) error {
	if err := bucket.Begin(ctx, key); err != nil {
		return err
	}
	name := b.path(key)
	if err := b.makeFolder(filepath.Dir(name)); err != nil {
		return err
	}
	tmp := filepath.Join(b.root, tmpFolder, rand.Text())
	defer b.disk.remove(tmp) // after a rename there is nothing to remove
	err := b.disk.writeFile(tmp, data)
	b.trial.Noted(len(data), err)
	if err != nil {
		return err
	}
	if err := b.claim(key); err != nil {
		return err
	}
	defer b.settle(key)
	if err := publish(tmp, name); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return bucket.ErrExist
		}
		return err
	}
	if err := b.disk.syncDir(filepath.Dir(name)); err != nil {
		if rmErr := b.disk.remove(name); rmErr != nil {
			b.doubt(key, fmt.Errorf("in doubt since its folder could not be synced: %w", err))
		}
		return err
	}
	return nil
}

// claim waits until no other call is writing key, and marks it as being written.
func (b *Bucket) claim(key string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		if err := b.doubtful[key]; err != nil {
			return err
		}
		if _, busy := b.pending[key]; !busy {
			b.pending[key] = struct{}{}
			return nil
		}
		b.settled.Wait()
	}
}

func (b *Bucket) settle(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.pending, key)
	b.settled.Broadcast()
}

func (b *Bucket) doubt(key string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.doubtful[key] = err
}

// makeFolder makes dir and its parents below the root durably.
func (b *Bucket) makeFolder(dir string) error {
	if _, ok := b.folders.Load(dir); ok {
		return nil
	}
	b.making.Lock()
	defer b.making.Unlock()
	var missing []string
	for d := dir; d != b.root; d = filepath.Dir(d) {
		if _, ok := b.folders.Load(d); ok {
			break
		}
		missing = append(missing, d)
	}
	for _, d := range slices.Backward(missing) {
		if err := b.disk.mkdir(d); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := b.disk.syncDir(filepath.Dir(d)); err != nil {
			b.disk.remove(d) // a later attempt makes it again; removing fails if the folder is in use
			return err
		}
		b.folders.Store(d, nil)
	}
	return nil
}

// Forget does nothing: nothing is cached.
func (b *Bucket) Forget(string) {}

func (b *Bucket) Delete(ctx context.Context, keys ...string) error {
	changed := map[string]struct{}{}
	for _, key := range keys {
		if err := bucket.Begin(ctx, key); err != nil {
			return fmt.Errorf("delete: %w", err)
		}
		name := b.path(key)
		switch err := b.disk.remove(name); {
		case err == nil:
			changed[filepath.Dir(name)] = struct{}{}
		case !errors.Is(err, fs.ErrNotExist) && !isNotFolder(err):
			return fmt.Errorf("delete %s: %w", key, err)
		}
	}
	for dir := range changed {
		if err := b.disk.syncDir(dir); err != nil {
			return fmt.Errorf("delete: %w", err)
		}
	}
	return nil
}

func (b *Bucket) List(ctx context.Context, prefix, after string) iter.Seq2[bucket.Info, error] {
	return func(yield func(bucket.Info, error) bool) {
		dir, _ := path.Split(prefix)
		if err := b.list(ctx, dir, prefix, after, yield); err != nil && err != errStop {
			yield(bucket.Info{}, fmt.Errorf("list %s: %w", prefix, err))
		}
	}
}

var errStop = errors.New("the caller of List has seen enough")

// list yields the objects below the folder dir, a key prefix that is empty or ends in '/'.
func (b *Bucket) list(ctx context.Context, dir, prefix, after string, yield func(bucket.Info, error) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := os.ReadDir(b.path(dir))
	if errors.Is(err, fs.ErrNotExist) || isNotFolder(err) {
		return nil
	}
	if err != nil {
		return err
	}
	keys := make([]string, 0, len(entries))
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		key := dir + e.Name()
		if e.IsDir() {
			key += "/" // so that folders sort like the keys below them
		}
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if err := b.listEntry(ctx, key, prefix, after, yield); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bucket) listEntry(ctx context.Context, key, prefix, after string, yield func(bucket.Info, error) bool) error {
	if strings.HasSuffix(key, "/") {
		if !strings.HasPrefix(key, prefix) && !strings.HasPrefix(prefix, key) || key < after &&
			!strings.HasPrefix(after, key) {
			return nil
		}
		return b.list(ctx, key, prefix, after, yield)
	}
	if !strings.HasPrefix(key, prefix) || key <= after {
		return nil
	}
	switch err := b.readable(key); {
	case errors.Is(err, bucket.ErrNotExist):
		return nil // not durable yet
	case err != nil:
		return fmt.Errorf("%s: %w", key, err)
	case !yield(bucket.Listed(key, func() (int64, error) { return b.size(key) }), nil):
		return errStop
	}
	return nil
}

// size returns the size of an object in bytes.
func (b *Bucket) size(key string) (int64, error) {
	st, err := os.Lstat(b.path(key))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, fmt.Errorf("size of %s: %w", key, bucket.ErrNotExist)
	case err != nil:
		return 0, fmt.Errorf("size of %s: %w", key, err)
	}
	return st.Size(), nil
}

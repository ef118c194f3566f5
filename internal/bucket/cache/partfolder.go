package cache

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirlog/weir/internal/filelock"
)

// partFolder keeps parts of objects in files of a folder. A file has the bytes of the part, the size of the whole
// object (8 bytes, big-endian), and the SHA-256 of both and of the object's key.
type partFolder struct {
	path    string
	lock    io.Closer
	files   *lru[time.Time] // times of fetching, by name
	logger  *slog.Logger
	failing atomic.Bool

	mu sync.Mutex // held while files is made to agree with the folder
}

// Names of the cache's own files. It touches no others.
var (
	partPattern      = regexp.MustCompile(`^[0-9a-f]{32}-[0-9]{6}$`)
	temporaryPattern = regexp.MustCompile(`^\.part-[0-9]+$`)
)

const partTrailer = 8 + sha256.Size

// errDamagedPart is returned (wrapped) for a file whose digest differs.
var errDamagedPart = errors.New("a part in the cache is damaged")

func objectID(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}

func partName(id string, number int64) string { return fmt.Sprintf("%s-%06d", id, number) }

func isPartOf(name, id string) bool {
	return strings.HasPrefix(name, id) && len(name) > len(id) && name[len(id)] == '-'
}

// openPartFolder opens a folder, which it makes if it does not exist, and loads the parts that an earlier process left.
func openPartFolder(path string, limit int64, logger *slog.Logger) (*partFolder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	lock, err := filelock.Acquire(filepath.Join(path, ".lock"))
	if err != nil {
		return nil, err
	}
	f := &partFolder{path: path, lock: lock, logger: logger}
	f.files = newLRU(limit, func(name string, _ time.Time) { f.delete(name) })
	if err := f.load(); err != nil {
		lock.Close()
		return nil, err
	}
	return f, nil
}

// load loads the files in the folder, the latest last.
func (f *partFolder) load() error {
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return err
	}
	var found []fs.FileInfo
	for _, e := range entries {
		switch info, err := e.Info(); {
		case err != nil || !info.Mode().IsRegular():
		case temporaryPattern.MatchString(e.Name()):
			f.delete(e.Name())
		case partPattern.MatchString(e.Name()):
			found = append(found, info)
		}
	}
	slices.SortFunc(found, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, info := range found {
		if !f.files.put(info.Name(), info.ModTime(), info.Size()) {
			f.delete(info.Name())
		}
	}
	return nil
}

func (f *partFolder) close() error { return f.lock.Close() }

func (f *partFolder) bytes() int64 { return f.files.bytes() }

func (f *partFolder) has(name string) bool { return f.files.has(name) }

func (f *partFolder) remove(chosen func(name string, at time.Time) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.files.remove(chosen)
}

func (f *partFolder) removeOne(name string) {
	f.remove(func(other string, _ time.Time) bool { return other == name })
}

func (f *partFolder) delete(name string) {
	if err := os.Remove(filepath.Join(f.path, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.complain(err)
	}
}

// complain logs only the first of several failures.
func (f *partFolder) complain(err error) {
	if !f.failing.Swap(true) {
		f.logger.Warn("the cache folder does not work; what it cannot keep is fetched from the bucket", "folder",
			f.path, "err", err)
	}
}

func (f *partFolder) sum(key string, data []byte) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n", key)
	h.Write(data)
	return h.Sum(nil)
}

// read returns a part. It returns fs.ErrNotExist if there is none, and errDamagedPart (wrapped) if it is damaged; it
// then drops the part.
func (f *partFolder) read(name, key string) (part, error) {
	at, file, err := f.open(name)
	if err != nil {
		return part{}, err
	}
	defer file.Close()
	data, err := io.ReadAll(file)
	if err == nil && (len(data) < partTrailer || !bytes.Equal(f.sum(key, data[:len(data)-sha256.Size]),
		data[len(data)-sha256.Size:])) {
		err = fmt.Errorf("%s: %w", name, errDamagedPart)
	}
	if err != nil {
		f.removeOne(name)
		return part{}, err
	}
	end := len(data) - partTrailer
	return part{data: data[:end:end], size: int64(binary.BigEndian.Uint64(data[end:])), at: at}, nil
}

func (f *partFolder) open(name string) (at time.Time, file *os.File, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at, ok := f.files.get(name)
	if !ok {
		return at, nil, fs.ErrNotExist
	}
	if file, err = os.Open(filepath.Join(f.path, name)); err != nil {
		f.files.remove(func(other string, _ time.Time) bool { return other == name })
	}
	return at, file, err
}

// write keeps a part, if possible. If a crash interrupts it, the file is found to be damaged.
func (f *partFolder) write(name, key string, p part) {
	data := binary.BigEndian.AppendUint64(slices.Clone(p.data), uint64(p.size))
	data = append(data, f.sum(key, data)...)
	if err := f.writeFile(name, data, p.at); err != nil {
		f.complain(err)
		return
	}
	f.failing.Store(false)
}

func (f *partFolder) writeFile(name string, data []byte, at time.Time) error {
	file, err := os.CreateTemp(f.path, ".part-*")
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err = errors.Join(err, file.Close()); err == nil {
		err = f.place(file.Name(), name, int64(len(data)), at)
	}
	if err != nil {
		os.Remove(file.Name())
	}
	return err
}

// errNoRoom is returned for a part that is larger than the whole cache may be.
var errNoRoom = errors.New("--cache-size is smaller than a part")

// place makes room for a file, and gives it its name.
func (f *partFolder) place(temporary, name string, size int64, at time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.files.put(name, at, size) {
		return errNoRoom
	}
	err := os.Rename(temporary, filepath.Join(f.path, name))
	if err != nil {
		f.files.remove(func(other string, _ time.Time) bool { return other == name })
	}
	return err
}

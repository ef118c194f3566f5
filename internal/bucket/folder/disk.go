package folder

import (
	"errors"
	"os"
	"syscall"

	"github.com/weirlog/weir/internal/durable"
)

// disk is the part of the file system that a Bucket uses for changes, so that tests can make each step fail.
type disk interface {
	writeFile(name string, data []byte) error // makes a new file and fsyncs it
	link(oldname, newname string) error
	rename(oldname, newname string) error
	remove(name string) error
	mkdir(name string) error
	syncDir(name string) error
}

type osDisk struct{}

func (osDisk) writeFile(name string, data []byte) error { return durable.WriteNew(name, data) }

func (osDisk) link(oldname, newname string) error   { return os.Link(oldname, newname) }
func (osDisk) rename(oldname, newname string) error { return os.Rename(oldname, newname) }
func (osDisk) remove(name string) error             { return os.Remove(name) }
func (osDisk) mkdir(name string) error              { return os.Mkdir(name, 0o700) }

func (osDisk) syncDir(name string) error { return durable.SyncFolder(name) }

// isNotFolder tells whether an error means that a file is in the place of a folder.
func isNotFolder(err error) bool { return errors.Is(err, syscall.ENOTDIR) }

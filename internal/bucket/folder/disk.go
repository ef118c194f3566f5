package folder

import (
	"errors"
	"os"
	"syscall"

	"github.com/weirlog/weir/internal/durable"
)

// disk is what Local asks of the file system to change it, so that tests can make each step fail.
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

// isNotFolder tells whether a part of a path that should be a folder is a file.
func isNotFolder(err error) bool { return errors.Is(err, syscall.ENOTDIR) }

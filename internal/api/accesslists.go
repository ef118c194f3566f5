package api

import (
	"cmp"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/event"
)

// maxAccess is the maximum number of entries of an access list.
const maxAccess = 200

// newAccess is one entry in the body of an addition.
type newAccess struct {
	Address       *string `json:"ipAddress"`
	Block         *string `json:"cidrBlock"`
	Comment       string  `json:"comment"`          // of a project's list
	DeleteAfter   *string `json:"deleteAfterDate"`  // of a project's list
	SecurityGroup *string `json:"awsSecurityGroup"` // of a project's list
}

// network is the network of an entry, and how the caller wrote it.
type network struct {
	block   netip.Prefix
	written account.Written
}

// network returns the network of an entry.
func (in *newAccess) network(k *checks) network {
	if in.Address == nil && in.Block == nil {
		require[string](k, "ipAddress", nil)
		return network{}
	}
	var n network
	if in.Block != nil {
		_, err := netip.ParsePrefix(*in.Block)
		k.check(in.Address != nil || err == nil, "cidrBlock", "%.50q is not a CIDR block", *in.Block)
		n.block, _ = account.ParseBlock(*in.Block)
		n.written.Block = *in.Block
	}
	if in.Address != nil { // if both are given, Atlas takes the address
		a, err := netip.ParseAddr(*in.Address)
		k.check(err == nil && a.Zone() == "", "ipAddress", "%.50q is not an IP address", *in.Address)
		p, _ := account.ParseBlock(*in.Address)
		if p != n.block {
			n.written.Block = ""
		}
		n.block, n.written.Address = p, *in.Address
	}
	return n
}

// addressOf formats an address as the OpenAPI document says: an IPv6 address is written in full.
func addressOf(a netip.Addr) string {
	if a.Is4() {
		return a.String()
	}
	return a.StringExpanded()
}

func blockOf(p netip.Prefix) string { return fmt.Sprintf("%s/%d", addressOf(p.Addr()), p.Bits()) }

// shown returns the CIDR block of an entry, and its address if it is a single one. They are written as the caller sent
// them, so that tools that compare these with their configuration find no difference.
func shown(p netip.Prefix, written account.Written) (block, address string) {
	if p.IsSingleIP() {
		address = cmp.Or(written.Address, addressOf(p.Addr()))
	}
	return cmp.Or(written.Block, blockOf(p)), address
}

// blockInPath returns the network in a path, in any notation. Some clients escape it twice.
func blockInPath(text string) (netip.Prefix, error) {
	if once, err := url.PathUnescape(text); err == nil {
		text = once
	}
	return account.ParseBlock(text)
}

type accessView struct {
	Block   string     `json:"cidrBlock"`
	Address string     `json:"ipAddress,omitempty"`
	Created *time.Time `json:"created,omitempty"`   // of a key
	Since   *time.Time `json:"createdAt,omitempty"` // of a service account
	Links   []link     `json:"links,omitempty"`     // of a key
}

func showKeyAccess(key *account.Credential) func(*call, account.AccessEntry) accessView {
	return func(c *call, e account.AccessEntry) accessView {
		v, created := showAccess(e), e.Created.UTC().Truncate(time.Second)
		v.Created = &created
		v.Links = c.self(base+"/orgs/%s/apiKeys/%s/accessList/%s", key.Org, key.UserID, cmp.Or(v.Address, v.Block))
		return v
	}
}

func showAccountAccess(c *call, e account.AccessEntry) accessView {
	v, created := showAccess(e), e.Created.UTC().Truncate(time.Second)
	v.Since = &created
	return v
}

func showAccess(e account.AccessEntry) accessView {
	var v accessView
	v.Block, v.Address = shown(e.Block, e.Written)
	return v
}

// accessLists are the operations on the access lists of credentials.
type accessLists struct{ credentials }

// ownKey returns the key in the path, if the caller is this key or an owner of its organization.
func (h accessLists) ownKey(c *call) (*account.Credential, error) {
	key, err := h.find(c, account.APIKey)
	if err == nil && key.ID != c.caller.ID && !c.caller.MayInOrg(account.OwnOrg, key.Org) {
		err = forbidden(account.OwnOrg)
	}
	return key, err
}

func (h accessLists) listOfKey(c *call) (any, error) {
	key, err := h.find(c, account.APIKey)
	if err != nil {
		return nil, err
	}
	return paginate(c, key.AccessList, mapEach(c, showKeyAccess(key)))
}

func (h accessLists) addToKey(c *call) (any, error) {
	key, err := h.ownKey(c)
	if err == nil {
		key, err = h.add(c, key)
	}
	if err != nil {
		return nil, err
	}
	return paginate(c, key.AccessList, mapEach(c, showKeyAccess(key)))
}

func (h accessLists) getOfKey(c *call) (any, error) {
	key, err := h.find(c, account.APIKey)
	if err != nil {
		return nil, err
	}
	i, err := findAccess(c, key)
	if err != nil {
		return nil, err
	}
	return showKeyAccess(key)(c, key.AccessList[i]), nil
}

func (h accessLists) removeFromKey(c *call) (any, error) {
	key, err := h.ownKey(c)
	if err == nil {
		err = h.remove(c, key)
	}
	return nil, err
}

func (h accessLists) listOfAccount(c *call) (any, error) {
	sa, err := h.find(c, account.ServiceAccount)
	if err != nil {
		return nil, err
	}
	return paginate(c, sa.AccessList, mapEach(c, showAccountAccess))
}

func (h accessLists) addToAccount(c *call) (any, error) {
	sa, err := h.changeable(c)
	if err == nil {
		sa, err = h.add(c, sa)
	}
	if err != nil {
		return nil, err
	}
	return paginate(c, sa.AccessList, mapEach(c, showAccountAccess))
}

func (h accessLists) removeFromAccount(c *call) (any, error) {
	sa, err := h.changeable(c)
	if err == nil {
		err = h.remove(c, sa)
	}
	return nil, err
}

// add adds the entries of the body to a credential's access list. If an entry exists, only its notation changes.
func (h accessLists) add(c *call, which *account.Credential) (*account.Credential, error) {
	added, err := decodeAccess(c)
	if err != nil {
		return nil, err
	}
	return h.modify(c, which, func(which *account.Credential) error {
		list := slices.Clone(which.AccessList) // a list that a cache has returned must not change
		for _, n := range added {
			i := slices.IndexFunc(list, func(e account.AccessEntry) bool { return e.Block == n.block })
			if i < 0 {
				list = append(list, account.AccessEntry{Block: n.block, Written: n.written, Created: c.now.UTC()})
			} else {
				list[i].Written = n.written
			}
		}
		which.AccessList = list
		return checkLength(len(list))
	})
}

func checkLength(n int) error {
	if n > maxAccess {
		return &account.Full{Of: "An access list", What: "entries", Most: maxAccess}
	}
	return nil
}

func decodeAccess(c *call) ([]network, error) {
	in, err := decode[[]newAccess](c)
	if err != nil {
		return nil, err
	}
	var k checks
	var all []network
	for _, entry := range in {
		all = append(all, entry.network(&k))
	}
	k.check(len(in) > 0, "body", "must have at least one entry")
	return all, k.err()
}

// findAccess returns the index of the entry in the path.
func findAccess(c *call, which *account.Credential) (int, error) {
	text := c.path("ipAddress")
	block, err := blockInPath(text)
	i := slices.IndexFunc(which.AccessList, func(e account.AccessEntry) bool { return err == nil && e.Block == block })
	if i < 0 {
		return 0, accessNotFound(text)
	}
	return i, nil
}

// remove removes the entry in the path, unless it is the one that admits the caller.
func (h accessLists) remove(c *call, which *account.Credential) error {
	if _, err := findAccess(c, which); err != nil {
		return err
	}
	_, err := h.modify(c, which, func(now *account.Credential) error {
		i, err := findAccess(c, now)
		if err != nil {
			return err
		}
		now.AccessList = slices.Concat(now.AccessList[:i], now.AccessList[i+1:])
		if now.ID == c.caller.ID && !now.Admits(c.address.Addr()) {
			return conflict("CANNOT_REMOVE_CALLER_FROM_ACCESS_LIST",
				"The requesting address %s cannot be removed from the credential's own access list.", c.address.Addr())
		}
		return nil
	})
	return err
}

// networks are the operations on the IP access lists of projects.
type networks struct{ control }

// networkView is an entry of a project's IP access list.
type networkView struct {
	SecurityGroup string `json:"awsSecurityGroup,omitempty"`
	Block         string `json:"cidrBlock,omitempty"`
	Comment       string `json:"comment,omitempty"`
	DeleteAfter   string `json:"deleteAfterDate,omitempty"`
	Project       string `json:"groupId"`
	Address       string `json:"ipAddress,omitempty"`
	Links         []link `json:"links,omitempty"`
}

func showNetwork(c *call, e account.NetworkEntry) networkView {
	v := networkView{Comment: e.Comment, Project: c.scope.project.ID, Links: c.self(base+"/groups/%s/accessList/%s",
		c.scope.project.ID, e.Block)}
	if !e.DeleteAfter.IsZero() {
		v.DeleteAfter = cmp.Or(e.EndWritten, e.DeleteAfter.UTC().Format(time.RFC3339Nano))
	}
	if e.SecurityGroup {
		v.SecurityGroup = e.Block
		return v
	}
	if p, err := netip.ParsePrefix(e.Block); err == nil {
		v.Block, v.Address = shown(p, e.Written)
	}
	return v
}

// networkOf returns the entries of the project's list that have not expired.
func networkOf(c *call) []account.NetworkEntry {
	return living(c.scope.project.Network, c.now)
}

func living(entries []account.NetworkEntry, now time.Time) []account.NetworkEntry {
	return slices.DeleteFunc(slices.Clone(entries),
		func(e account.NetworkEntry) bool { return !e.DeleteAfter.IsZero() && !e.DeleteAfter.After(now) })
}

func (h networks) list(c *call) (any, error) {
	return paginate(c, networkOf(c), mapEach(c, showNetwork))
}

var securityGroup = regexp.MustCompile(`^([0-9]*/)?sg-[0-9A-Za-z]+$`)

// dateAndTime is RFC 3339 with at most as many digits as weir keeps. time.Parse also accepts a comma instead of the
// point.
var dateAndTime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$`)

func decodeNetwork(c *call) ([]account.NetworkEntry, error) {
	in, err := decode[[]newAccess](c)
	if err != nil {
		return nil, err
	}
	var k checks
	var entries []account.NetworkEntry
	k.check(len(in) > 0, "body", "must have at least one entry")
	for _, entry := range in {
		e := account.NetworkEntry{Comment: entry.Comment}
		if entry.SecurityGroup != nil && entry.Address == nil && entry.Block == nil {
			k.check(securityGroup.MatchString(*entry.SecurityGroup), "awsSecurityGroup",
				"%.50q is not a security group", *entry.SecurityGroup)
			e.Block, e.SecurityGroup = *entry.SecurityGroup, true
		} else {
			n := entry.network(&k)
			e.Block, e.Written = n.block.String(), n.written
		}
		k.check(utf8.RuneCountInString(e.Comment) <= 80, "comment", "may have at most 80 characters")
		if entry.DeleteAfter != nil {
			at, err := time.Parse(time.RFC3339, *entry.DeleteAfter)
			k.check(err == nil && at.After(c.now) && dateAndTime.MatchString(*entry.DeleteAfter), "deleteAfterDate",
				"%.50q is not a date and time in the future, such as 2030-01-31T00:00:00Z", *entry.DeleteAfter)
			e.DeleteAfter, e.EndWritten = at.UTC(), *entry.DeleteAfter
		}
		entries = append(entries, e)
	}
	return entries, k.err()
}

// add adds entries to the project's list. They replace entries for the same block.
func (h networks) add(c *call) (any, error) {
	entries, err := decodeNetwork(c)
	if err != nil {
		return nil, err
	}
	err = h.update(c, func(list []account.NetworkEntry) ([]account.NetworkEntry, error) {
		for _, e := range entries {
			list = slices.DeleteFunc(list, func(have account.NetworkEntry) bool { return have.Block == e.Block })
			list = append(list, e)
		}
		return list, checkLength(len(list))
	})
	if err != nil {
		return nil, err
	}
	return paginate(c, networkOf(c), mapEach(c, showNetwork))
}

func (h networks) update(c *call, change func([]account.NetworkEntry) ([]account.NetworkEntry, error)) error {
	p := c.scope.project
	what := changed{activity: event.Update, kind: "Project IP Access List", id: p.ID, name: p.Name, project: p}
	return h.change(c, what, func() (before, after any, err error) {
		p, err := h.accounts.UpdateProject(c.detached(), p.ID, func(p *account.Project) (err error) {
			before = append([]account.NetworkEntry{}, p.Network...) // a list even if it is empty
			p.Network, err = change(living(p.Network, c.now))
			return err
		})
		if err == nil {
			c.scope.project, after = p, p.Network
		}
		return before, after, err
	})
}

// findNetwork returns the index in a list of the entry in the path.
func findNetwork(c *call, list []account.NetworkEntry) (int, error) {
	text := c.path("entryValue")
	name := text
	if block, err := blockInPath(text); err == nil {
		name = block.String()
	} else if once, err := url.PathUnescape(text); err == nil {
		name = once // the name of a security group of another account contains a slash
	}
	i := slices.IndexFunc(list, func(e account.NetworkEntry) bool { return e.Block == name })
	if i < 0 {
		return 0, networkNotFound(text, c.scope.project.ID)
	}
	return i, nil
}

func (h networks) get(c *call) (any, error) {
	list := networkOf(c)
	i, err := findNetwork(c, list)
	if err != nil {
		return nil, err
	}
	return showNetwork(c, list[i]), nil
}

func (h networks) remove(c *call) (any, error) {
	if _, err := findNetwork(c, networkOf(c)); err != nil {
		return nil, err
	}
	return nil, h.update(c, func(list []account.NetworkEntry) ([]account.NetworkEntry, error) {
		i, err := findNetwork(c, list)
		if err != nil {
			return nil, err
		}
		return slices.Delete(list, i, i+1), nil
	})
}

// status says that an entry is active, since nothing has to apply it.
func (h networks) status(c *call) (any, error) {
	if _, err := findNetwork(c, networkOf(c)); err != nil {
		return nil, err
	}
	return struct {
		Status string `json:"STATUS"`
	}{"ACTIVE"}, nil
}

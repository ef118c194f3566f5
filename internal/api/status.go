package api

import (
	"github.com/weirlog/weir/internal/account"
)

type statusView struct {
	APIKey     statusKey `json:"apiKey"`
	AppName    string    `json:"appName"`
	Build      string    `json:"build"`
	Links      []link    `json:"links"`
	Throttling bool      `json:"throttling"`
}

type statusKey struct {
	AccessList []statusAccess  `json:"accessList"`
	ID         string          `json:"id"`
	PublicKey  string          `json:"publicKey"`
	Roles      []account.Grant `json:"roles"`
}

type statusAccess struct {
	Block   string `json:"cidrBlock"`
	Address string `json:"ipAddress"`
}

// getSystemStatus describes the caller. Since a service account has no public key, the last eight digits of its client
// id are shown instead.
func getSystemStatus(c *call) (any, error) {
	own := c.caller
	key := statusKey{AccessList: []statusAccess{}, ID: own.UserID, PublicKey: own.ID, Roles: own.Roles}
	if own.Kind == account.ServiceAccount {
		key.PublicKey = own.ID[len(own.ID)-8:]
	}
	for _, e := range own.AccessList {
		key.AccessList = append(key.AccessList, statusAccess{blockOf(e.Block), addressOf(e.Block.Addr())})
	}
	// The OpenAPI document allows this name.
	return statusView{APIKey: key, AppName: "MongoDB Atlas", Build: "weir", Links: c.self(base)}, nil
}

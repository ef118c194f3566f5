package event

import (
	"encoding/json"
	"time"
)

// Miss is entries of a log that a delivery did not send before retention removed them.
type Miss struct {
	Time           time.Time
	Project        string
	Delivery, Type string // its id and its type
	Log, LogName   string
	First, Entries int64 // index of the first one, and how many
}

// Missed returns the event of a miss: OCSF class 3004 (Entity Management), activity 3 (Update). Its uid is random.
func Missed(m Miss) []byte {
	data, err := json.Marshal(struct {
		Log     string `json:"logId"`
		Name    string `json:"logName"`
		First   int64  `json:"firstEntry"`
		Entries int64  `json:"entries"`
	}{m.Log, m.LogName, m.First, m.Entries})
	if err != nil {
		data = nil // Strings and integers cannot fail.
	}
	return Changed(Change{Act: Act{Time: m.Time, Project: m.Project, CallerID: "weir", CallerKind: "System"},
		Operation: "missEvents", Activity: Update, EntityType: "Log Integration", EntityID: m.Delivery,
		EntityName: m.Type, Before: data})
}

// DeliveryTried returns the event that is sent to a place, and recorded nowhere, when somebody tries whether the place
// takes events: OCSF class 3004 (Entity Management), activity 3 (Update). Its unmapped.atype is tryLogIntegration.
func DeliveryTried(a Act, kind string) []byte {
	return Changed(Change{Act: a, Operation: "tryLogIntegration", Activity: Update, EntityType: "Log Integration",
		EntityName: kind})
}

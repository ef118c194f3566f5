package event

import (
	"encoding/json"
	"time"
)

// Miss describes entries of a log that retention removed before a delivery sent them.
type Miss struct {
	Time           time.Time
	Project        string
	Delivery, Type string // id and type of the delivery
	Log, LogName   string
	First, Entries int64 // index of the first entry, and number of entries
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

// DeliveryTried returns the event that a trial sends to a place, to see whether the place takes events. It is not
// recorded. It has OCSF class 3004 (Entity Management), activity 3 (Update), and unmapped.atype tryLogIntegration.
func DeliveryTried(a Act, kind string) []byte {
	return Changed(Change{Act: a, Operation: "tryLogIntegration", Activity: Update, EntityType: "Log Integration",
		EntityName: kind})
}

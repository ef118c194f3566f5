package main

import "github.com/spf13/cobra"

// examples are the examples in the help of commands, by the command's path.
var examples = map[string]string{
	"weir": `  weir serve --dev
  weir download prod -o prod.gz`,
	"weir serve": `  weir serve --dev
  weir serve --bucket ./weir-data --listen 127.0.0.1:8080
  weir serve --config weir.yaml`,
	"weir init": `  weir init --bucket ./weir-data --organization acme --project audit --workspace prod ` +
		`--env-file weir.env`,
	"weir collect": `  WEIR_SOURCE_SECRET=mdb_sa_sk_... weir collect --once --client-id mdb_sa_id_6a793f48c0eb9e7a17712f00
  weir collect --once --public-key gswvkocq --secret-file key --collect AUDIT,OPERATIONAL --state atlas.state
  weir collect --once --url https://audit.example.com --client-id mdb_sa_id_6a793f48c0eb9e7a17712f00 ` +
		`--secret-file secret`,
	"weir watch": `  weir watch --key log.pub --state watch.json --webhook https://hooks.example.com/weir
  weir watch 6a793f48c0eb9e7a17712f00 --once
  weir watch --print 6a793f48c0eb9e7a17712f00 > kept.checkpoint`,
	"weir key":          `  weir key show`,
	"weir key generate": `  weir key generate weir-data.signing-key`,
	"weir key show": `  weir key show > log.pub
  weir key show --origin audit.example.com/6a793f48c0eb9e7a17712f00`,
	"weir key rotate": `  weir key rotate weir-data.signing-key`,
	"weir key retire": `  weir key retire weir-data.signing-key`,
	"weir bucket":     `  weir bucket check ./weir-data`,
	"weir bucket copy": `  weir bucket copy ./weir-data /mnt/backup/weir-data
  weir bucket copy s3://audit/weir ./copy --key log.pub`,
	"weir bucket check": `  weir bucket check ./weir-data --key log.pub
  weir bucket check s3://audit/weir -o json`,
	"weir bucket keys": `  weir bucket keys 6a793f48c0eb9e7a17712f00 ./weir-data --key log.pub
  weir bucket keys 6a793f48c0eb9e7a17712f00 s3://audit/weir -o json`,
	"weir alert":                         `  weir alert test failed-logons.yaml --since 30d`,
	"weir admin alert":                   `  weir admin alert apply -f deploy/alerts/failed-logons.yaml`,
	"weir admin alert list":              `  weir admin alert list`,
	"weir admin alert apply":             `  weir admin alert apply -f failed-logons.yaml -f silence.yaml --dry-run`,
	"weir admin alert create":            `  weir admin alert create -f failed-logons.yaml`,
	"weir admin alert describe":          `  weir admin alert describe failed-logons -o json`,
	"weir admin alert status":            `  weir admin alert status failed-logons`,
	"weir admin alert delete":            `  weir admin alert delete failed-logons`,
	"weir admin alert-notifier":          `  weir admin alert-notifier list`,
	"weir admin alert-notifier list":     `  weir admin alert-notifier list`,
	"weir admin alert-notifier create":   `  weir admin alert-notifier create -f webhook.yaml`,
	"weir admin alert-notifier describe": `  weir admin alert-notifier describe webhook`,
	"weir admin alert-notifier update":   `  weir admin alert-notifier update webhook -f webhook.yaml`,
	"weir admin alert-notifier delete":   `  weir admin alert-notifier delete webhook`,

	"weir login": `  weir login
  weir login --profile prod --url https://audit.example.com --project 32b6e34b3d91647abb20e7b8`,
	"weir logout":       `  weir logout --profile prod`,
	"weir profile":      `  weir profile list`,
	"weir profile list": `  weir profile list`,
	"weir version":      `  weir version`,
	"weir admin":        `  weir admin workspace list`,

	"weir admin organization":          `  weir admin organization list`,
	"weir admin organization list":     `  weir admin organization list -o json`,
	"weir admin organization create":   `  weir admin organization create acme`,
	"weir admin organization describe": `  weir admin organization describe`,
	"weir admin organization update":   `  weir admin organization update --name acme-audit`,
	"weir admin organization delete":   `  weir admin organization delete 32b6e34b3d91647abb20e7b8`,

	"weir admin project":          `  weir admin project list`,
	"weir admin project list":     `  weir admin project list`,
	"weir admin project create":   `  weir admin project create audit --tag team=security`,
	"weir admin project describe": `  weir admin project describe`,
	"weir admin project update":   `  weir admin project update --name audit-eu`,
	"weir admin project delete":   `  weir admin project delete 32b6e34b3d91647abb20e7b8`,
	"weir admin project settings": `  weir admin project settings`,
	"weir admin project set": `  weir admin project set --retention-days 365
  weir admin project set --legal-hold`,

	"weir admin workspace":          `  weir admin workspace list`,
	"weir admin workspace list":     `  weir admin workspace list`,
	"weir admin workspace create":   `  weir admin workspace create prod --provider AWS --region VIRGINIA_USA`,
	"weir admin workspace describe": `  weir admin workspace describe prod`,
	"weir admin workspace update":   `  weir admin workspace update prod --tier SP50`,
	"weir admin workspace delete": `  weir admin workspace delete old
  weir admin workspace delete old --force`,

	"weir admin key":      `  weir admin key list`,
	"weir admin key list": `  weir admin key list`,
	"weir admin key create": `  weir admin key create --description "nightly download" --role ORG_MEMBER
  weir admin key create --project 32b6e34b3d91647abb20e7b8 --description "nightly download" --role GROUP_READ_ONLY`,
	"weir admin key describe": `  weir admin key describe 6a793f48c0eb9e7a17712f00`,
	"weir admin key update":   `  weir admin key update 6a793f48c0eb9e7a17712f00 --description "weekly download"`,
	"weir admin key assign":   `  weir admin key assign 6a793f48c0eb9e7a17712f00 --role GROUP_READ_ONLY`,
	"weir admin key delete":   `  weir admin key delete 6a793f48c0eb9e7a17712f00`,

	"weir admin service-account":      `  weir admin service-account list`,
	"weir admin service-account list": `  weir admin service-account list`,
	"weir admin service-account create": `  weir admin service-account create collector ` +
		`--description "sends events" --role ORG_MEMBER
  weir admin service-account create reader --project 32b6e34b3d91647abb20e7b8 ` +
		`--description "reads logs" --role GROUP_READ_ONLY`,
	"weir admin service-account describe": `  weir admin service-account describe ` +
		`mdb_sa_id_6a793f48c0eb9e7a17712f00`,
	"weir admin service-account update": `  weir admin service-account update ` +
		`mdb_sa_id_6a793f48c0eb9e7a17712f00 --name collector-eu`,
	"weir admin service-account assign": `  weir admin service-account assign ` +
		`mdb_sa_id_6a793f48c0eb9e7a17712f00 --role GROUP_AUDIT_LOG_WRITER`,
	"weir admin service-account projects": `  weir admin service-account projects ` +
		`mdb_sa_id_6a793f48c0eb9e7a17712f00`,
	"weir admin service-account delete": `  weir admin service-account delete ` +
		`mdb_sa_id_6a793f48c0eb9e7a17712f00`,
	"weir admin service-account create-secret": `  weir admin service-account create-secret ` +
		`mdb_sa_id_6a793f48c0eb9e7a17712f00 --secret-hours 720`,
	"weir admin service-account delete-secret": `  weir admin service-account delete-secret ` +
		`mdb_sa_id_6a793f48c0eb9e7a17712f00 6a793f48c0eb9e7a17712f01`,

	"weir admin ingest-token":      `  weir admin ingest-token list`,
	"weir admin ingest-token list": `  weir admin ingest-token list -o json`,
	"weir admin ingest-token create": `  weir admin ingest-token create collector --workspace prod
  weir admin ingest-token create rsyslog --expires-hours 2160`,
	"weir admin ingest-token describe": `  weir admin ingest-token describe weir_6a793f48c0eb9e7a17712f00`,
	"weir admin ingest-token delete":   `  weir admin ingest-token delete weir_6a793f48c0eb9e7a17712f00`,

	"weir admin delivery":                `  weir admin delivery list`,
	"weir admin delivery list":           `  weir admin delivery list -o json`,
	"weir admin delivery create":         `  weir admin delivery create --file splunk.json`,
	"weir admin delivery update":         `  weir admin delivery update 6a793f48c0eb9e7a17712f00 --file splunk.json`,
	"weir admin delivery describe":       `  weir admin delivery describe 6a793f48c0eb9e7a17712f00 -o json`,
	"weir admin delivery pause":          `  weir admin delivery pause 6a793f48c0eb9e7a17712f00`,
	"weir admin delivery resume":         `  weir admin delivery resume 6a793f48c0eb9e7a17712f00`,
	"weir admin delivery replay":         `  weir admin delivery replay 6a793f48c0eb9e7a17712f00 --from beginning`,
	"weir admin delivery retry-parked":   `  weir admin delivery retry-parked 6a793f48c0eb9e7a17712f00`,
	"weir admin delivery discard-parked": `  weir admin delivery discard-parked 6a793f48c0eb9e7a17712f00`,
	"weir admin delivery delete":         `  weir admin delivery delete 6a793f48c0eb9e7a17712f00`,
	"weir admin source":                  `  weir admin source list`,
	"weir admin source list":             `  weir admin source list -o json`,
	"weir admin source create": `  WEIR_SOURCE_SECRET=... weir admin source create kafka --brokers k1.example.com:9093 ` +
		`--topic _redpanda.audit_log --mapping OCSF --sasl SCRAM-256 --username weir
  WEIR_SOURCE_SECRET=mdb_sa_sk_... weir admin source create atlas ` +
		`--client-id mdb_sa_id_6a793f48c0eb9e7a17712f00
  weir admin source create atlas --public-key gswvkocq --secret-file key --collect AUDIT,OPERATIONAL
  weir admin source create other --url https://audit.example.com --client-id mdb_sa_id_6a793f48c0eb9e7a17712f00 ` +
		`--secret-file secret --from-project 32b6e34b3d91647abb20e7b8`,
	"weir admin source describe": `  weir admin source describe 6a793f48c0eb9e7a17712f00`,
	"weir admin source update":   `  weir admin source update 6a793f48c0eb9e7a17712f00 --interval 1m`,
	"weir admin source pause":    `  weir admin source pause 6a793f48c0eb9e7a17712f00`,
	"weir admin source resume":   `  weir admin source resume 6a793f48c0eb9e7a17712f00`,
	"weir admin source status":   `  weir admin source status 6a793f48c0eb9e7a17712f00 -o json`,
	"weir admin source delete":   `  weir admin source delete 6a793f48c0eb9e7a17712f00`,

	"weir admin failures":        `  weir admin failures forget 203.0.113.7`,
	"weir admin failures forget": `  weir admin failures forget 203.0.113.7`,
	"weir admin access-list":     `  weir admin access-list list`,
	"weir admin access-list list": `  weir admin access-list list
  weir admin access-list list --key 6a793f48c0eb9e7a17712f00`,
	"weir admin access-list create":   `  weir admin access-list create 203.0.113.7 198.51.100.0/24 --comment office`,
	"weir admin access-list describe": `  weir admin access-list describe 203.0.113.7`,
	"weir admin access-list delete":   `  weir admin access-list delete 198.51.100.0/24`,

	"weir admin log":                   `  weir admin log list`,
	"weir admin log list":              `  weir admin log list`,
	"weir admin log describe":          `  weir admin log describe 6a793f48c0eb9e7a17712f00`,
	"weir admin log update":            `  weir admin log update 6a793f48c0eb9e7a17712f00 --public`,
	"weir admin log list-organization": `  weir admin log list-organization`,
}

// addExamples gives a command, and all below it, their examples.
func addExamples(cmd *cobra.Command) {
	if cmd.Example == "" {
		cmd.Example = examples[cmd.CommandPath()]
	}
	for _, sub := range cmd.Commands() {
		addExamples(sub)
	}
}

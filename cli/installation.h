#ifndef CLI_INSTALLATION_H
#define CLI_INSTALLATION_H
/* The installation that a command works on, as its configuration file describes it. */
#include "server/config.h"
#include "store/store.h"
#include "vault/setup.h"

#define CONFIG_DEFAULT "/etc/vouchsafe/vouchsafe.json"

enum { ACTOR_SIZE = 96 };

struct installation {
	struct config config;
	struct store *store;
	struct vault_file vault;
	char program[PATH_MAX]; /* vouchsafe-vault */
	char actor[ACTOR_SIZE]; /* "operator:alice" */
};

/* Reads the configuration (`path` NULL: CONFIG_DEFAULT) and opens the store for this use. NULL with a
 * complaint. */
struct installation *installation_open(const char *path, enum store_use, struct complaint *);
/* The same for a database that is to be restored: `uri` instead of the configuration's where it is not NULL,
 * and restore_begin with that version of the schema. */
struct installation *installation_restore(
	const char *path, const char *uri, unsigned schema, struct complaint *);
/* Its store again, for reading alone. False: none is open. */
MUST_USE bool installation_read_alone(struct installation *, struct complaint *);
void installation_close(struct installation *);
/* Another name stands in the trail. False: it is none. */
MUST_USE bool installation_actor(struct installation *, const char *name);

/* Fills in all that vault/ wants for its commands; `program` NULL: vouchsafe-vault beside this program, then
 * along PATH and the sbin folders. `said` prints. The setup borrows from the installation. */
MUST_USE bool installation_setup(
	struct installation *, const char *program, struct setup *, struct complaint *);

#endif

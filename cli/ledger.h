#ifndef CLI_LEDGER_H
#define CLI_LEDGER_H
/* What the commands of `vouchsafe ledger` share: those for one instance (ledger.c) and those for the
 * instances of a rule (fleet.c). */
#include "cli/command.h"
#include "store/ledger.h"

/* One line of JSON. */
MUST_USE bool ledger_row_print(const struct ledger_row *, struct complaint *);

/* How a re-arm was typed; NULL: not. */
struct rearm_line {
	const char *reason, *until, *key;
};
/* Reason, end and key, which is decoded into `key`; now_us must be there. */
MUST_USE bool rearm_take(
	const struct rearm_line *, unsigned char key[32], struct rearm *, struct complaint *);

/* Where --rule stands among the words. */
int run_fleet_show(struct words);
int run_fleet_rearm(struct words);

#endif

/* `vouchsafe restore --accept`: an older database is the true one from now on, and the members are told. Must
 * never do that without a reason that stands in the trail. */
#include "cli/accept.h"
#include "cli/commands.h"
#include "cli/installation.h"

#include <stdio.h>

/* The one who asks, where another one types; stands in the trail as operator:NAME. */
static bool actor_take(struct installation *installation, const char *name, struct complaint *complaint)
{
	if (!name || installation_actor(installation, name))
		return true;
	return complain(
		complaint, "--actor: write a user's name: letters, digits and . _ - $ @ +, at most 63");
}

int run_restore_accept(struct words words)
{
	const char *config = NULL, *program = NULL, *reason = NULL, *actor = NULL;
	const struct option options[] = { { "--config", &config, NULL },
		{ "--vault-program", &program, NULL }, { "--reason", &reason, NULL },
		{ "--actor", &actor, NULL }, { 0 } };
	struct complaint complaint = { 0 };
	struct installation *installation;
	struct setup setup;
	bool done;

	if (!command_line_take(words, options, NULL, 0, &complaint))
		return command_misused(&complaint);
	if (!reason) {
		complain(&complaint, "--reason TEXT is missing; it stands in the audit trail");
		return command_misused(&complaint);
	}
	installation = installation_open(config, STORE_TOOL, &complaint);
	done = installation && actor_take(installation, actor, &complaint) &&
	       installation_setup(installation, program, &setup, &complaint) &&
	       restore_accept(&setup, reason, &complaint);
	installation_close(installation);
	if (!done)
		return command_failed(&complaint);
	puts("accepted: what was lost may be asked for again, and each such release is an alarm in the "
	     "trail");
	return command_done();
}

#ifndef SERVER_RELEASE_H
#define SERVER_RELEASE_H
/* POST /v1/releases: one assertion on its way. Each step fills in its row; nothing above it is touched again.
 */
#include "aws/confirm.h"
#include "server/request.h"
#include "server/rules.h"
#include "vault/vault.h"

struct release {
	struct request request; /* first */
	/* parse */
	struct assertion assertion;
	struct recipient recipient;
	struct evidence evidence;
	bool parsed;
	/* admit */
	struct snapshot rules; /* that this request keeps */
	const struct rule *rule;
	struct demand demand;
	/* verify */
	struct proof proof;
	/* confirm */
	struct confirmation confirmation;
	struct claims *claims;
	/* decide */
	struct decision decision;
	/* record */
	struct grant *grant;
	/* seal */
	struct seal seal;
};

extern const struct step release_line[];
struct request *release_new(void);

#endif

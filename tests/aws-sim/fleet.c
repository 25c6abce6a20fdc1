/* Launches many instances in one call of the control API: what they have in common, and what each has of its
 * own. The first that is refused ends it; those before it are launched. */
#include "tests/aws-sim/account.h"
#include "tests/aws-sim/instance.h"

static json_t *one_launch(struct state *state, const json_t *common, json_t *own, struct refusal *refusal)
{
	json_t *arguments = json_deep_copy(common), *answer = NULL;

	if (!json_is_object(own))
		refuse(refusal, 400, "'instances' is a list of objects");
	else if (arguments && !json_object_update(arguments, own))
		answer = instance_launch(state, arguments, refusal);
	json_decref(arguments);
	return answer;
}

json_t *instance_fleet(struct state *state, const json_t *arguments, struct refusal *refusal)
{
	static const char *const known[] = { "launch", "instances", NULL };
	const json_t *common = json_object_get(arguments, "launch"),
		     *owns = json_object_get(arguments, "instances");
	json_t *launched = json_array(), *own;
	size_t i;

	if (!arguments_known(arguments, known, refusal))
		goto failed;
	if (!json_is_object(common) || !json_is_array(owns)) {
		refuse(refusal, 400, "'launch' is an object, 'instances' a list");
		goto failed;
	}
	json_array_foreach(owns, i, own)
	{
		json_t *instance = one_launch(state, common, own, refusal);

		if (!instance || json_array_append_new(launched, instance))
			goto failed;
	}
	return json_pack("{so}", "instances", launched);
failed:
	json_decref(launched);
	return NULL;
}

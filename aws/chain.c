/* Chooses the source of the base credentials. */
#include "aws/chain.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value ? value : "";
}

static bool is_set(const char *name)
{
	return variable(name)[0] != '\0';
}

/* The path of the shared file that is to be used; false: none is. */
static bool shared_file_find(char path[PATH_MAX])
{
	const char *given = variable("AWS_SHARED_CREDENTIALS_FILE");

	if (given[0])
		return snprintf(path, PATH_MAX, "%s", given) > 0;
	if (!is_set("HOME") || snprintf(path, PATH_MAX, "%s/.aws/credentials", variable("HOME")) >= PATH_MAX)
		path[0] = '\0';
	return is_set("AWS_PROFILE") || (path[0] && access(path, F_OK) == 0);
}

struct source *chain_choose(const struct caller *caller, const struct service *sts, const char *session,
	struct complaint *complaint)
{
	char path[PATH_MAX];

	if (is_set("AWS_ACCESS_KEY_ID") || is_set("AWS_SECRET_ACCESS_KEY"))
		return source_environment(complaint);
	if (is_set("AWS_WEB_IDENTITY_TOKEN_FILE"))
		return source_web_identity(caller, sts, session, complaint);
	if (shared_file_find(path))
		return source_file(
			path, is_set("AWS_PROFILE") ? variable("AWS_PROFILE") : "default", complaint);
	if (is_set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") || is_set("AWS_CONTAINER_CREDENTIALS_FULL_URI"))
		return source_container(caller, complaint);
	if (strcasecmp(variable("AWS_EC2_METADATA_DISABLED"), "true") != 0)
		return source_instance(caller, complaint);
	complain(complaint,
		"there are no credentials for AWS: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
		"AWS_SHARED_CREDENTIALS_FILE or AWS_WEB_IDENTITY_TOKEN_FILE in the service's environment, or "
		"leave AWS_EC2_METADATA_DISABLED unset where the instance has a role");
	return NULL;
}

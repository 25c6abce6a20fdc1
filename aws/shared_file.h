#ifndef AWS_SHARED_FILE_H
#define AWS_SHARED_FILE_H
/* The text of AWS's shared credentials file: sections "[profile]" of "name = value" lines; '#' or ';' begins
 * a comment line, and behind a blank a comment at a line's end. */
#include "aws/keys.h"

enum { PROFILE_SIZE = 129 };

/* Takes aws_access_key_id, aws_secret_access_key and, where it is there, aws_session_token of one profile.
 * Strict inside that profile: it stands there once, each of its names once, no line is continued, and nothing
 * in it tells to get the keys in another way (role_arn, credential_process, sso_..., ...), for that would be
 * passed over in silence. Other profiles are skipped. False: `why` names the profile or the line, never a
 * value, and the keys are wiped. The text is NUL-terminated and at most KEYS_BYTES_MAX; it is taken apart. */
MUST_USE bool shared_file_parse(char *text, const char *profile, struct keys *, char why[KEYS_WHY_SIZE]);

#endif

#ifndef SERVER_ACCESS_LOAD_H
#define SERVER_ACCESS_LOAD_H
/* The setting audit_access. */
#include "server/config.h"
#include "verifier/jsonfile.h"

/* From the file's root into config->access; ops_tls is loaded already. False: the complaint says where. */
MUST_USE bool accesses_load(struct config *, const struct member *root, struct complaint *);

#endif

#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H
/* The commands, each with the words behind its own. They print their results and complaints and return
 * COMMAND_DONE, COMMAND_FAILED or COMMAND_MISUSED. */
#include "cli/command.h"

/* vault.c */
int run_vault_apply(struct words);
int run_vault_status(struct words);
int run_secret_put(struct words);
int run_secret_list(struct words);
int run_secret_remove(struct words);
/* ledger.c */
int run_ledger_show(struct words);
int run_ledger_rearm(struct words);
/* backup.c, restore.c */
int run_backup(struct words);
int run_restore(struct words);
/* restore_accept.c */
int run_restore_accept(struct words);
/* audit.c */
int run_audit_query(struct words);
int run_audit_verify(struct words);
/* certificates.c */
int run_certificates_list(struct words);
int run_certificates_check(struct words);
int run_certificates_add(struct words);
/* check.c */
int run_config_check(struct words);
int run_policy_check(struct words);
int run_policy_test(struct words);
/* explain.c */
int run_policy_explain(struct words);

#endif

#ifndef VAULT_SIGN_H
#define VAULT_SIGN_H
/* The member's two requests about the trail's head: sign a checkpoint, tell the last head that was signed. A
 * head is signed only if none that is newer, and no other of the same seq, has been signed before; and the
 * signature leaves only when the member's state says so on disk. */
#include "vault/serve.h"

enum { SIGNER_LABEL_SIZE = 64 };
/* The label of the key pair in its token. */
void signer_label(const struct vault_file *, char label[SIGNER_LABEL_SIZE]);

/* At the member's start: can the state be read, and what does it count from? False with the mend;
 * state_refused says whether only a person can mend it. */
MUST_USE bool sign_start(struct service *, struct complaint *);

void serve_checkpoint(struct worker *, const struct request *, struct frame *answer);
void serve_last(const struct service *, struct frame *answer);

#endif

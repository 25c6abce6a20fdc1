/* free(3) for the whole process, in the place of the C library's, which allows that: what any library frees
 * is wiped first. GnuTLS leaves the text of a key behind, and who wrote a vendor's PKCS#11 module may have
 * forgotten that a PIN lay there. Must never do more: it is called from everywhere. */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

/* a sanitizer brings its own; clang is for fuzzing alone */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__clang__)
void __libc_free(void *block);

void free(void *block)
{
	int error = errno; /* as it was: free(3) keeps it */

	if (block)
		explicit_bzero(block, malloc_usable_size(block));
	__libc_free(block);
	errno = error;
}
#endif

/* free(3) for the whole member process, in the place of the C library's, which allows that: what the vendor's
 * module, C++ or any other library frees is wiped first. Who writes such a module may have forgotten that a
 * PIN or a key lay there. Must never do more: it is called from everywhere. */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

/* a sanitizer brings its own */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void __libc_free(void *block);

void free(void *block)
{
	int error = errno; /* as it was: free(3) keeps it */

	if (block != NULL)
		explicit_bzero(block, malloc_usable_size(block));
	__libc_free(block);
	errno = error;
}
#endif

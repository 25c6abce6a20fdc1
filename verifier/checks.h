#ifndef VERIFIER_CHECKS_H
#define VERIFIER_CHECKS_H
/* Names of all checks. A denial's reason code is the name of the first check that failed. "Expected" is what
 * the assertion or the policy says, "observed" what EC2, IAM, the socket or the clock said. */

/* attributes of the assertion; aws/confirm.c */
#define CHECK_INSTANCE_ID "instance-id"
#define CHECK_ACCOUNT_ID "account-id"
#define CHECK_REGION "region"
#define CHECK_RESERVATION_ID "reservation-id"
#define CHECK_INSTANCE_TYPE "instance-type"
#define CHECK_PUBLIC_HOSTNAME "public-hostname"
#define CHECK_LOCAL_HOSTNAME "local-hostname"
#define CHECK_SOURCE_IP "source-ip"
#define CHECK_PEER_ADDRESS "peer-address"
#define CHECK_STATE "state"
#define CHECK_ROLE "role"

/* the identity document against the assertion; verifier/proof.c */
#define CHECK_DOCUMENT_INSTANCE_ID "document-instance-id"
#define CHECK_DOCUMENT_ACCOUNT_ID "document-account-id"
#define CHECK_DOCUMENT_REGION "document-region"
#define CHECK_DOCUMENT_INSTANCE_TYPE "document-instance-type"
#define CHECK_DOCUMENT_PRIVATE_IP "document-private-ip"
/* the identity document against EC2; aws/confirm.c */
#define CHECK_DOCUMENT_IMAGE "document-image"
#define CHECK_DOCUMENT_ZONE "document-availability-zone"
#define CHECK_DOCUMENT_TIME "document-pending-time"

/* who holds the credentials, where caller-identity is demanded; aws/sts.c */
#define CHECK_CALLER_IDENTITY "caller-identity" /* STS confirms the signed request */
#define CHECK_CALLER_ACCOUNT "caller-account" /* "<partition>:<account>" */
#define CHECK_CALLER_ROLE "caller-role"
#define CHECK_CALLER_SESSION "caller-session" /* the session's name is the instance id */

/* bounds of the rule; policy/decide.c */
#define CHECK_IMAGE "image"
#define CHECK_LAUNCH_TEMPLATE "launch-template"
#define CHECK_AUTO_SCALING_GROUP "auto-scaling-group"
#define CHECK_VPC "vpc"
#define CHECK_SUBNET "subnet"
#define CHECK_SECURITY_GROUP "security-group"
#define CHECK_ALLOWED_TYPE "allowed-instance-type"
#define CHECK_TAG "tag"
#define CHECK_METADATA_OPTIONS "metadata-options"
#define CHECK_LAUNCH_TIME "launch-time" /* said at all, and not in the future */
/* for the first use alone */
#define CHECK_LAUNCH_WINDOW "launch-window"
#define CHECK_ORIGINAL_BOOT "original-boot"

#endif

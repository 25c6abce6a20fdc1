/* The compiled table of AWS's regions, their partitions and where IAM answers for them (from botocore's
 * endpoint data). Host names are made from this table alone: a region that is not in it does not exist for
 * us, so a caller can never steer a signed request. */
#include "aws/regions.h"

#include <string.h>

/* One line per partition keeps the table's rows to what differs: the name. */
#define AWS(region)                                                                                          \
	{                                                                                                    \
		region, "aws", "amazonaws.com", "iam.amazonaws.com", "us-east-1"                             \
	}
#define CHINA(region)                                                                                        \
	{                                                                                                    \
		region, "aws-cn", "amazonaws.com.cn", "iam.cn-north-1.amazonaws.com.cn", "cn-north-1"        \
	}
#define GOVERNMENT(region)                                                                                   \
	{                                                                                                    \
		region, "aws-us-gov", "amazonaws.com", "iam.us-gov.amazonaws.com", "us-gov-west-1"           \
	}
#define SOVEREIGN(region)                                                                                    \
	{                                                                                                    \
		region, "aws-eusc", "amazonaws.eu", "iam.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"      \
	}
#define ISO(region)                                                                                          \
	{                                                                                                    \
		region, "aws-iso", "c2s.ic.gov", "iam.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"             \
	}
#define ISO_B(region)                                                                                        \
	{                                                                                                    \
		region, "aws-iso-b", "sc2s.sgov.gov", "iam.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1"   \
	}
#define ISO_E(region)                                                                                        \
	{                                                                                                    \
		region, "aws-iso-e", "cloud.adc-e.uk", "iam.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1" \
	}
#define ISO_F(region)                                                                                        \
	{                                                                                                    \
		region, "aws-iso-f", "csp.hci.ic.gov", "iam.us-isof-south-1.csp.hci.ic.gov",                 \
			"us-isof-south-1"                                                                    \
	}

static const struct aws_region regions[] = {
	AWS("af-south-1"),
	AWS("ap-east-1"),
	AWS("ap-east-2"),
	AWS("ap-northeast-1"),
	AWS("ap-northeast-2"),
	AWS("ap-northeast-3"),
	AWS("ap-south-1"),
	AWS("ap-south-2"),
	AWS("ap-southeast-1"),
	AWS("ap-southeast-2"),
	AWS("ap-southeast-3"),
	AWS("ap-southeast-4"),
	AWS("ap-southeast-5"),
	AWS("ap-southeast-6"),
	AWS("ap-southeast-7"),
	AWS("ca-central-1"),
	AWS("ca-west-1"),
	AWS("eu-central-1"),
	AWS("eu-central-2"),
	AWS("eu-north-1"),
	AWS("eu-south-1"),
	AWS("eu-south-2"),
	AWS("eu-west-1"),
	AWS("eu-west-2"),
	AWS("eu-west-3"),
	AWS("il-central-1"),
	AWS("me-central-1"),
	AWS("me-south-1"),
	AWS("mx-central-1"),
	AWS("sa-east-1"),
	AWS("us-east-1"),
	AWS("us-east-2"),
	AWS("us-west-1"),
	AWS("us-west-2"),
	CHINA("cn-north-1"),
	CHINA("cn-northwest-1"),
	GOVERNMENT("us-gov-east-1"),
	GOVERNMENT("us-gov-west-1"),
	SOVEREIGN("eusc-de-east-1"),
	ISO("us-iso-east-1"),
	ISO("us-iso-west-1"),
	ISO_B("us-isob-east-1"),
	ISO_B("us-isob-west-1"),
	ISO_E("eu-isoe-west-1"),
	ISO_F("us-isof-east-1"),
	ISO_F("us-isof-south-1"),
};

const struct aws_region *aws_region_find(const char *name)
{
	for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++)
		if (strcmp(regions[i].name, name) == 0)
			return &regions[i];
	return NULL;
}

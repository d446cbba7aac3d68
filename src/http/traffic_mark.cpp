// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "http/traffic_mark.h"

#include <linux/pkt_sched.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <sys/socket.h>

namespace swarmfs::http {

void mark_traffic(int socket, bool bulk) {
  const int service = bulk ? IPTOS_CLASS_CS1 : IPTOS_DSCP_AF21;
  ::setsockopt(socket, IPPROTO_IP, IP_TOS, &service, sizeof service);
  ::setsockopt(socket, IPPROTO_IPV6, IPV6_TCLASS, &service, sizeof service);
  // Last: IP_TOS sets one of its own.
  const int priority = bulk ? TC_PRIO_BULK : TC_PRIO_INTERACTIVE;
  ::setsockopt(socket, SOL_SOCKET, SO_PRIORITY, &priority, sizeof priority);
}

}  // namespace swarmfs::http

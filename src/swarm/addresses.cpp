// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/addresses.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>

#include <algorithm>
#include <memory>

#include "util/error.h"

namespace swarmfs::swarm {
namespace {

std::string print(const sockaddr* address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address->sa_family == AF_INET)
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(address)->sin_addr, text, sizeof text);
  if (address->sa_family == AF_INET6)
    inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr, text,
              sizeof text);
  return canonical_address(text).value_or("");
}

bool is_link_local(const sockaddr* address) {
  if (address->sa_family != AF_INET6) return false;
  const auto* v6 = reinterpret_cast<const sockaddr_in6*>(address);
  return IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr);
}

/// Addresses of interfaces that other hosts may reach.
std::vector<std::string> interface_addresses(int family) {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) throw util::SysError("cannot list the network interfaces");
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(list, freeifaddrs);
  std::vector<std::string> result;
  for (const ifaddrs* it = list; it; it = it->ifa_next) {
    if (!it->ifa_addr || it->ifa_addr->sa_family != family) continue;
    if (!(it->ifa_flags & IFF_UP) || (it->ifa_flags & IFF_LOOPBACK)) continue;
    if (!is_link_local(it->ifa_addr)) result.push_back(print(it->ifa_addr));
  }
  return result;
}

}  // namespace

std::vector<std::string> resolve_name(const std::string& name) {
  // Per thread: without it a dead name server would hold up the end of the program.
  if (res_init() == 0) {
    _res.retrans = 2;
    _res.retry = 1;
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (getaddrinfo(name.c_str(), nullptr, &hints, &list) != 0) return {};
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(list, freeaddrinfo);
  std::vector<std::string> result;
  for (const addrinfo* it = list; it; it = it->ai_next) {
    const std::string address = print(it->ai_addr);
    if (!address.empty() && std::find(result.begin(), result.end(), address) == result.end())
      result.push_back(address);
  }
  return result;
}

std::vector<Endpoint> expand_wildcards(const std::vector<Endpoint>& listen) {
  std::vector<Endpoint> result;
  const auto append = [&](Endpoint endpoint) {
    if (std::find(result.begin(), result.end(), endpoint) == result.end())
      result.push_back(std::move(endpoint));
  };
  for (const Endpoint& endpoint : listen) {
    const bool wildcard = endpoint.address == "0.0.0.0" || endpoint.address == "::";
    if (!wildcard) append(endpoint);
    if (wildcard)
      for (std::string& address :
           interface_addresses(endpoint.address == "::" ? AF_INET6 : AF_INET))
        append({std::move(address), endpoint.port});
  }
  return result;
}

}  // namespace swarmfs::swarm

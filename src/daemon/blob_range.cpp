// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/blob_range.h"

#include <future>

namespace swarmfs::daemon {

using util::Failure;
using util::Fault;
using util::Outcome;

Outcome<util::Bytes> blob_range(registry::RegistryClient& registry, const oci::Reference& blob,
                                util::ByteRange range, bool anonymous, chunk::Class cls,
                                util::SteadyTime deadline) {
  const std::vector<chunk::Origin> origins{{blob.registry, blob.repository}};
  util::Bytes bytes;
  std::promise<Outcome<http::Response>> answer;
  registry::GetOrder order;
  order.origins = origins;
  order.path = "blobs/" + blob.target();
  order.range = range;
  order.cls = cls;
  order.deadline = deadline;
  order.anonymous = anonymous;
  order.on_data = [&](util::ByteView more) { bytes.insert(bytes.end(), more.begin(), more.end()); };
  order.on_done = [&](Outcome<http::Response> outcome) { answer.set_value(std::move(outcome)); };
  auto future = answer.get_future();
  const auto transfer = registry.get(std::move(order));
  // The order's deadline is for a registry that gives nothing; one that drips would have all day.
  if (future.wait_until(deadline) != std::future_status::ready)
    return Failure{Fault::timed_out, "it does not give the bytes in time"};
  const auto outcome = future.get();
  if (outcome) return bytes;
  if (!registry.serves_ranges(origins)) return Failure{Fault::invalid, "it answers no ranges"};
  return outcome.failure();
}

}  // namespace swarmfs::daemon

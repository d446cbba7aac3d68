// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/blob_range.h"

#include <future>

namespace swarmfs::daemon {

using util::Failure;
using util::Fault;
using util::Outcome;

registry::GetOrder order_of(const oci::Reference& blob, util::ByteRange range) {
  registry::GetOrder order;
  order.origins = {{blob.registry, blob.repository}};
  order.path = "blobs/" + blob.target();
  order.range = range;
  return order;
}

Outcome<util::Bytes> blob_range(registry::RegistryClient& registry, registry::GetOrder order) {
  const auto origins = order.origins;
  const auto deadline = order.deadline;
  const bool anonymous = order.anonymous;
  util::Bytes bytes;
  std::promise<Outcome<http::Response>> answer;
  order.on_data = [&](util::ByteView more) { bytes.insert(bytes.end(), more.begin(), more.end()); };
  order.on_done = [&](Outcome<http::Response> outcome) { answer.set_value(std::move(outcome)); };
  auto future = answer.get_future();
  const auto transfer = registry.get(std::move(order));
  // The order's deadline is for a registry that gives nothing; one that drips would have all day.
  if (future.wait_until(deadline) != std::future_status::ready)
    return Failure{Fault::timed_out, "it does not give the bytes in time"};
  const auto outcome = future.get();
  if (outcome) return bytes;
  if (!registry.serves_ranges(origins, anonymous))
    return Failure{Fault::invalid, "it answers no ranges"};
  return outcome.failure();
}

}  // namespace swarmfs::daemon

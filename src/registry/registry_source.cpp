// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "registry/registry_source.h"

namespace swarmfs::registry {

std::unique_ptr<chunk::Transfer> RegistrySource::fetch(const chunk::LayerRef& layer,
                                                       util::ByteRange range,
                                                       const chunk::FetchContext& context,
                                                       OnData on_data, OnDone on_done) {
  if (!client_.serves_ranges(layer.origins))
    return streams_.fetch(layer, range, std::move(on_data), std::move(on_done));
  GetOrder order;
  order.origins = layer.origins;
  order.path = "blobs/" + layer.digest.to_string();
  order.range = range;
  order.cls = context.cls;
  order.borrows = true;
  order.deadline = context.deadline;
  order.on_data = std::move(on_data);
  order.on_done = [done = std::move(on_done)](util::Outcome<http::Response> outcome) {
    if (outcome)
      done(util::Done{});
    else
      done(outcome.failure());
  };
  return client_.get(std::move(order));
}

}  // namespace swarmfs::registry

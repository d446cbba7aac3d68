// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <algorithm>
#include <cassert>

#include "fetch/brain.h"
#include "util/log.h"

namespace swarmfs::fetch {

using chunk::BlockRange;
using util::ByteRange;
using util::Failure;
using util::Fault;

namespace {

/// How many of `lies` each supplier told.
std::map<Supplier, uint64_t> by_supplier(const std::vector<Provenance::Lie>& lies) {
  std::map<Supplier, uint64_t> made;
  for (const auto& lie : lies) ++made[lie.supplier];
  return made;
}

bool touches(util::ByteRange range, const std::vector<Provenance::Lie>& lies) {
  const BlockRange blocks = chunk::blocks_covering(range);
  return std::any_of(lies.begin(), lies.end(), [&](const auto& lie) {
    return lie.block >= blocks.first && lie.block < blocks.end();
  });
}

}  // namespace

void Brain::name(const chunk::LayerRef& ref, const Supplier& supplier, const std::string& why,
                 Actions& actions) {
  wrong[static_cast<size_t>(sources[supplier.source]->kind())]->add();
  actions.push_back([ref, supplier, why] {
    util::log::warning("layer {} from {}: {}", ref.digest.short_hex(), supplier.name, why);
  });
}

void Brain::convict(const chunk::LayerRef& ref, const Supplier& supplier, const std::string& why,
                    Actions& actions) {
  name(ref, supplier, why, actions);
  actions.push_back([ref, supplier, why, source = sources[supplier.source]] {
    source->blame(ref, supplier.name, why);
  });
}

void Brain::accuse(Layer& layer, const Supplier& supplier, const std::string& why,
                   Actions& actions) {
  const auto claimant = layer.state_->seal.lock()->claimant;
  if (claimant.empty()) return convict(layer.ref(), supplier, why, actions);
  name(layer.ref(), supplier, why, actions);
  actions.push_back([ref = layer.ref(), supplier, claimant, source = sources[supplier.source]] {
    source->bar(ref, supplier.name, claimant);
  });
}

void Brain::seal(Layer& layer, Seal seal) {
  const Tree tree = seal.tree;
  assert(!tree || tree->size() == layer.ref().size);
  auto& state = *layer.state_;
  const bool claimed = seal.claimed();
  Actions actions;
  std::set<FlightPtr> doubtful;
  {
    const std::lock_guard hold(mutex);
    const Tree old = std::exchange(*state.seal.lock(), std::move(seal)).tree;
    layers[{layer.ref().digest, layer.ref().form}].sealed = tree && !claimed;
    if (!tree) return layer.stored().trust(nullptr);
    const bool same = old && old->root() == tree->root();
    if (same && claimed) return;
    state.peers_barred = false;
    const auto lies = state.provenance.lies(*tree);
    if (!same && !layer.stored().verified()) doubtful = doubt(layer, lies, actions);
    layer.stored().trust(tree);
    for (auto* source : sources)
      actions.push_back([ref = layer.ref(), source] { source->unbar(ref); });
    for (const auto& [supplier, blocks] : by_supplier(lies))
      accuse(layer, supplier, fmt::format("{} blocks that it gave are wrong", blocks), actions);
    if (claimed)
      state.provenance.discarded();
    else
      state.provenance.clear();
  }
  run(actions);
  await_writes(doubtful);
}

std::set<FlightPtr> Brain::doubt(Layer& layer, const std::vector<Provenance::Lie>& lies,
                                 Actions& actions) {
  auto& state = *layer.state_;
  for (const auto& blocks : state.provenance.unproven()) layer.stored().suspect(blocks);
  for (const auto& lie : lies) layer.stored().suspect({lie.block, 1});
  std::set<FlightPtr> wrong_ones;
  for (const auto& flight : flights_of(state)) {
    flight->unproven = flight->arrived;
    const ByteRange came{flight->range.offset, flight->arrived};
    if (came.empty() || !touches(came, lies)) continue;
    flight->written = flight->arrived;
    forget_blocks(*flight, came);
    bring_in_again(state, came);
    wrong_ones.insert(flight);
  }
  std::set<std::pair<std::shared_ptr<Layer>, WaiterPtr>> deceived;
  for (const auto& flight : flights_of(state))
    for (const auto& part : flight->parts)
      if (touches(part.waiter->range, lies)) deceived.emplace(flight->layer, part.waiter);
  for (const auto& [of, waiter] : deceived) begin_again(of, waiter, actions);
  return wrong_ones;
}

void Brain::discard(Layer& layer, const std::string& why) {
  auto& state = *layer.state_;
  Actions actions;
  std::set<FlightPtr> dropped;
  std::set<std::pair<std::shared_ptr<Layer>, WaiterPtr>> waiting;
  {
    const std::lock_guard hold(mutex);
    // Who gave what fits a claim is not known: all of them may give it again.
    const bool by_claim = std::exchange(*state.seal.lock(), {}).claimed();
    ++state.discards;
    layers[{layer.ref().digest, layer.ref().form}].sealed = false;
    layer.stored().trust(nullptr);
    const auto suppliers = state.provenance.suppliers();
    for (const auto& supplier : suppliers)
      if (state.provenance.is_alone(supplier))
        accuse(layer, supplier, why, actions);
      else
        name(layer.ref(), supplier, why, actions);
    state.peers_barred |= by_claim || !suppliers.empty();
    state.provenance.discarded();
    dropped = flights_of(state);
    for (const auto& flight : dropped) {
      flight->written = flight->arrived;
      forget_blocks(*flight, flight->range);
      if (flight->ended) continue;
      for (const auto& part : retire(flight, actions)) waiting.emplace(flight->layer, part.waiter);
    }
  }
  run(actions);
  await_writes(dropped);
  layer.stored().discard();
  {
    const std::lock_guard hold(mutex);
    for (const auto& [of, waiter] : waiting)
      if (stopping)
        end_waiter(waiter, Failure{Fault::cancelled, "the daemon stops"}, actions);
      else
        begin_again(of, waiter, actions);
    for (const auto& bulk : bulks)
      if (bulk->layer->state_ == layer.state_) bulk->rewind();
    pump(actions);
  }
  run(actions);
}

std::set<FlightPtr> Brain::flights_of(const LayerState& state) const {
  std::set<FlightPtr> found;
  for (const auto& [block, flight] : state.by_block) found.insert(flight);
  for (const auto& flight : flights)
    if (flight->layer->state_.get() == &state) found.insert(flight);
  return found;
}

void Brain::await_writes(const std::set<FlightPtr>& of) {
  std::unique_lock hold(mutex);
  written.wait(hold, [&] {
    return std::all_of(of.begin(), of.end(),
                       [](const auto& flight) { return flight->writes == 0; });
  });
}

}  // namespace swarmfs::fetch

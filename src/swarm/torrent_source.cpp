// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/torrent_source.h"

#include "util/operation.h"

namespace swarmfs::swarm {

using util::ByteRange;

namespace {

/// A chunk comes as a whole, beside many others: nothing of it is seen before.
constexpr std::chrono::seconds kTorrentHedge{5};

struct Receiver {
  util::CallbackGate gate;
  chunk::Source::OnData on_data;
  chunk::Source::OnDone on_done;

  void take(const util::Outcome<util::SharedBytes>& piece, ByteRange part) {
    gate.run([&] {
      if (!piece) return on_done(piece.failure());
      on_data(piece->view().subspan(part.offset, part.length));
      on_done(util::Done{});
    });
  }
};

class TorrentTransfer final : public chunk::Transfer {
 public:
  TorrentTransfer(TorrentSession& session, std::shared_ptr<TorrentLayer> layer, uint32_t piece,
                  uint64_t waiter, std::shared_ptr<Receiver> receiver)
      : session_(session),
        layer_(std::move(layer)),
        piece_(piece),
        waiter_(waiter),
        receiver_(std::move(receiver)) {}
  ~TorrentTransfer() override {
    receiver_->gate.close();
    if (!layer_) return;
    layer_->forget(waiter_);
    session_.refresh(layer_, {piece_});
  }
  void pause() override { hold(true); }
  void resume() override { hold(false); }
  [[nodiscard]] std::string supplier() const override { return "BitTorrent"; }

 private:
  void hold(bool held) {
    if (!layer_) return;
    layer_->hold(waiter_, held);
    session_.refresh(layer_, {piece_});
  }

  TorrentSession& session_;
  const std::shared_ptr<TorrentLayer> layer_;  ///< null: it failed from the start
  const uint32_t piece_;
  const uint64_t waiter_;
  const std::shared_ptr<Receiver> receiver_;
};

}  // namespace

std::optional<chunk::Plan> TorrentSource::plan(const chunk::LayerRef& layer, ByteRange range,
                                               const chunk::FetchContext& context) {
  const bool bulk = context.cls == chunk::Class::pull || context.cls == chunk::Class::backfill;
  if (!bulk || context.for_peer || !context.sealed || layer.form != chunk::Form::bytes)
    return std::nullopt;
  std::optional<chunk::Plan> made;
  find_(layer.digest, [&](const std::shared_ptr<TorrentLayer>& found) {
    const uint32_t piece = found->piece_at(range.offset);
    const auto whole = found->bytes_of(piece);
    if (range.offset != whole.offset || range.length < whole.length || found->broken()) return;
    if (found->availability.copies(piece) > 0) made = chunk::Plan{whole.length, kTorrentHedge};
  });
  return made;
}

bool TorrentSource::has(const chunk::LayerRef& layer, ByteRange range) {
  chunk::FetchContext context{chunk::Class::pull, {}, ""};
  context.sealed = true;  // what is exchanged is
  return plan(layer, range, context).has_value();
}

std::unique_ptr<chunk::Transfer> TorrentSource::fetch(const chunk::LayerRef& layer, ByteRange range,
                                                      const chunk::FetchContext& context,
                                                      OnData on_data, OnDone on_done) {
  auto receiver = std::make_shared<Receiver>();
  receiver->on_data = std::move(on_data);
  receiver->on_done = std::move(on_done);
  std::shared_ptr<TorrentLayer> found;
  find_(layer.digest, [&](const auto& exchanged) { found = exchanged; });
  const uint32_t piece = found ? found->piece_at(range.offset) : 0;
  uint64_t waiter = 0;
  if (found) {
    const ByteRange part{range.offset - found->bytes_of(piece).offset, range.length};
    waiter = found->await(piece, context.cls,
                          [receiver, part](const auto& outcome) { receiver->take(outcome, part); });
  }
  if (waiter == 0) {
    found = nullptr;
    deliveries_.post(util::Workers::Urgency::normal, [receiver] {
      receiver->take(util::Failure{util::Fault::unavailable, "the layer is not exchanged"}, {});
    });
  } else {
    session_.refresh(found, {piece});
  }
  return std::make_unique<TorrentTransfer>(session_, std::move(found), piece, waiter,
                                           std::move(receiver));
}

}  // namespace swarmfs::swarm

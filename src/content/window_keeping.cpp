// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "content/window_keeping.h"

#include <charconv>
#include <future>

#include "content/document_names.h"
#include "content/windows.h"
#include "util/error.h"
#include "util/log.h"

namespace swarmfs::content {

using util::Failure;
using util::Fault;

namespace {

constexpr size_t kHex = 64;

struct WindowsName {
  util::Digest layer, name;
  uint64_t size = 0;
};

std::optional<WindowsName> parse_name(std::string_view name) {
  name.remove_prefix(kWindows.size());
  if (name.size() < 2 * kHex + 3 || name[kHex] != '.' || name[2 * kHex + 1] != '.')
    return std::nullopt;
  const auto layer = util::Digest::parse_hex(name.substr(0, kHex));
  const auto windows = util::Digest::parse_hex(name.substr(kHex + 1, kHex));
  const auto digits = name.substr(2 * kHex + 2);
  uint64_t size = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), size);
  if (!layer || !windows || error != std::errc() || end != digits.data() + digits.size())
    return std::nullopt;
  return WindowsName{*layer, *windows, size};
}

}  // namespace

WindowKeeping::WindowKeeping(chunk::Store& store) : store_(store) {
  auto all = kept_.lock();
  for (const auto& document : store_.documents(std::string(kWindows))) {
    const auto name = parse_name(document);
    if (!name) continue;
    Kept made{name->name, name->size, {}, nullptr};
    made.stored = open(made);
    all->insert_or_assign(name->layer, std::move(made));
  }
}

std::string WindowKeeping::name_of(const util::Digest& layer, const Kept& kept) {
  return std::string(kWindows) + layer.hex() + "." + kept.name.hex() + "." +
         std::to_string(kept.size);
}

std::shared_ptr<chunk::StoredLayer> WindowKeeping::open(const Kept& kept) const {
  if (kept.size == 0) return nullptr;
  try {
    auto stored = store_.open(kept.name, kept.size, chunk::Form::windows);
    if (kept.tree) stored->trust(kept.tree);
    return stored;
  } catch (const util::Error& error) {
    util::log::warning("windows {} are not kept: {}", kept.name.short_hex(), error.what());
    return nullptr;
  }
}

WindowKeeping::Kept WindowKeeping::kept(const util::Digest& layer) const {
  auto all = kept_.lock();
  const auto found = all->find(layer);
  return found == all->end() ? Kept{} : found->second;
}

void WindowKeeping::note(const util::Digest& layer, const Tree& tree) {
  Kept made{windows_name(*tree), tree->size(), {}, tree};
  made.stored = open(made);
  Kept old;
  bool known = false;
  {
    auto all = kept_.lock();
    auto [at, fresh] = all->try_emplace(layer);
    known = !fresh;
    old = std::exchange(at->second, made);
  }
  if (known && old.name == made.name) return;
  store_.save_document(name_of(layer, made), {});
  if (known) drop(layer, old);
}

void WindowKeeping::drop(const util::Digest& layer, const Kept& kept) {
  store_.remove_document(name_of(layer, kept));
  if (const auto stored = kept.stored.lock()) stored->discard();
}

bool WindowKeeping::fill(const util::Digest& layer, const util::Bytes& windows) {
  const Kept kept = this->kept(layer);
  if (kept.size != windows.size()) return false;
  if (complete(layer)) return true;
  const auto stored = open_again(layer, kept);
  if (!stored) return false;
  bool all = true;
  for (const auto& gap : stored->missing(chunk::blocks_covering({0, kept.size}))) {
    const auto range = chunk::bytes_of(gap, kept.size);
    const auto piece = util::ByteView(windows).subspan(range.offset, range.length);
    std::promise<bool> written;
    stored->write(chunk::BlockIndex{gap.first}, util::SharedBytes::of({piece.begin(), piece.end()}),
                  chunk::Class::backfill, [&written](const util::Outcome<util::Done>& outcome) {
                    written.set_value(static_cast<bool>(outcome));
                  });
    all = written.get_future().get() && all;
  }
  return all;
}

/// The store may have let go of what held nothing, or had no place for it before.
std::shared_ptr<chunk::StoredLayer> WindowKeeping::open_again(const util::Digest& layer,
                                                              const Kept& kept) {
  auto stored = open(kept);
  auto all = kept_.lock();
  const auto found = all->find(layer);
  if (found != all->end() && found->second.name == kept.name) found->second.stored = stored;
  return stored;
}

void WindowKeeping::forget(const util::Digest& layer) {
  auto all = kept_.lock();
  const auto found = all->find(layer);
  if (found == all->end()) return;
  const Kept old = std::move(found->second);
  all->erase(found);
  all.unlock();
  drop(layer, old);
}

bool WindowKeeping::complete(const util::Digest& layer) const {
  auto all = kept_.lock();
  const auto found = all->find(layer);
  if (found == all->end()) return false;
  const uint64_t size = found->second.size;
  const auto stored = found->second.stored.lock();
  all.unlock();
  return size == 0 || (stored && stored->has(chunk::blocks_covering({0, size})));
}

bool WindowKeeping::trusted(const util::Digest& layer, const Kept& kept,
                            chunk::StoredLayer& stored) {
  if (kept.tree) return true;
  const auto document = store_.load_document(index_name(layer));
  if (!document) return false;
  const auto index = layer::LayerIndex::parse(*document);
  if (!index) return false;
  auto tree = windows_tree(*index);
  if (windows_name(*tree) != kept.name) return false;
  stored.trust(tree);
  auto all = kept_.lock();
  const auto found = all->find(layer);
  if (found != all->end() && found->second.name == kept.name) found->second.tree = std::move(tree);
  return true;
}

void WindowKeeping::read(const util::Digest& layer, const util::Digest& name, util::ByteRange range,
                         OnRead on_read) {
  const Kept kept = this->kept(layer);
  const auto stored = kept.stored.lock();
  if (!stored || kept.name != name || !trusted(layer, kept, *stored))
    return on_read(Failure{Fault::not_found, "not here"});
  if (range.empty() || range.clamp(kept.size) != range)
    return on_read(Failure{Fault::invalid, "no range of these windows"});
  if (!stored->has(chunk::blocks_covering(range)))
    return on_read(Failure{Fault::not_found, "not here"});
  stored->read(range, std::move(on_read));
}

}  // namespace swarmfs::content

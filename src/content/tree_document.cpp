// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "content/tree_document.h"

#include <array>
#include <bit>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

namespace swarmfs::content {

using util::Bytes;
using util::ByteView;
using util::Digest;

namespace {

static_assert(std::endian::native == std::endian::little);
constexpr std::string_view kMagic = "swfstre1";

void append(Bytes& out, ByteView bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

template <class Number>
void append_number(Bytes& out, Number number) {
  append(out, std::as_bytes(std::span(&number, 1)));
}

void append_text(Bytes& out, std::string_view text) {
  append_number(out, static_cast<uint32_t>(text.size()));
  append(out, util::as_bytes(text));
}

/// Takes from the front; once something is lacking, everything is.
class Reader {
 public:
  explicit Reader(ByteView in) : in_(in) {}
  ByteView bytes(size_t length) {
    if (length > in_.size()) {
      lacking_ = true;
      return {};
    }
    const ByteView view = in_.first(length);
    in_ = in_.subspan(length);
    return view;
  }
  template <class Value>
  Value value() {
    Value made{};
    if (const ByteView view = bytes(sizeof made); view.size() == sizeof made)
      std::memcpy(&made, view.data(), sizeof made);
    return made;
  }
  std::string text() { return std::string(util::as_text(bytes(value<uint32_t>()))); }
  [[nodiscard]] ByteView rest() const { return in_; }
  [[nodiscard]] bool lacking() const { return lacking_; }

 private:
  ByteView in_;
  bool lacking_ = false;
};

util::Failure refused(const char* why) {
  return {util::Fault::corrupt, std::string("unreadable hash tree: ") + why};
}

}  // namespace

Bytes TreeDocument::serialize() const {
  Bytes out;
  append(out, util::as_bytes(kMagic));
  append_number(out, tree->size());
  append(out, tree->root().bytes());
  append(out, index.bytes());
  append_text(out, claimant);
  append_text(out, claim);
  append(out, tree->leaf_bytes());
  append(out, util::Sha256::of(out).bytes());
  return out;
}

util::Outcome<TreeDocument> TreeDocument::parse(ByteView document) {
  if (document.size() < kMagic.size() + sizeof(Digest) ||
      util::as_text(document.first(kMagic.size())) != kMagic)
    return refused("another version or no tree");
  const ByteView checked = document.first(document.size() - sizeof(Digest));
  if (std::memcmp(util::Sha256::of(checked).bytes().data(), document.data() + checked.size(),
                  sizeof(Digest)) != 0)
    return refused("a wrong checksum");
  Reader in(checked.subspan(kMagic.size()));
  const auto size = in.value<uint64_t>();
  const Digest root(in.value<std::array<std::byte, 32>>());
  TreeDocument made;
  made.index = Digest(in.value<std::array<std::byte, 32>>());
  made.claimant = in.text();
  made.claim = in.text();
  if (in.lacking()) return refused("it ends early");
  if (made.claimant.empty() && !made.claim.empty()) return refused("a claim of nobody");
  auto tree = chunk::HashTree::from_leaves(size, in.rest(), root);
  if (!tree) return refused("its leaves do not lead to its root");
  made.tree = std::make_shared<const chunk::HashTree>(std::move(*tree));
  return made;
}

}  // namespace swarmfs::content

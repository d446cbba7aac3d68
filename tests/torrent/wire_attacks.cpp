// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "wire_attacks.h"

#include <random>

#include "chunk/block.h"

namespace swarmfs::torrent_test {

namespace {

constexpr uint32_t kBlock = chunk::kBlockSize;
constexpr uint32_t kHuge[] = {0x7fffffff, 0x80000000, 0xffffffff};

uint32_t pieces_of(const Subject& subject) {
  const uint64_t piece = chunk::chunk_size(subject.ref.size);
  return static_cast<uint32_t>((subject.ref.size + piece - 1) / piece);
}

void promise_all(Turn& turn) {
  turn.peer.say(Wire::have_all);
  turn.peer.say(Wire::unchoke);
}

std::string block_body(const Subject& subject, uint32_t piece, uint32_t start, uint32_t length) {
  const uint64_t at = piece * chunk::chunk_size(subject.ref.size) + start;
  std::string bytes = at < subject.content.size() ? subject.content.substr(at, length) : "";
  bytes.resize(length);
  return word(piece) + word(start) + bytes;
}

std::string answer_to(const Subject& subject, const std::string& request) {
  return block_body(subject, word_at(request, 0), word_at(request, 4), word_at(request, 8));
}

/// Calls `answer` with each request's body.
template <class Answer>
void answer_all(Turn& turn, Answer answer) {
  promise_all(turn);
  while (const auto message = turn.peer.hear()) {
    if (message->id != static_cast<uint8_t>(Wire::request)) continue;
    answer(message->body);
    ++turn.deeds;
  }
}

std::string random_bytes(std::mt19937& random, size_t size) {
  std::string made(size, '\0');
  for (auto& c : made) c = static_cast<char>(random() & 0xff);
  return made;
}

void says_garbage(Turn& turn) {
  std::mt19937 random(static_cast<unsigned>(turn.number));
  for (int i = 0; i < 50; ++i) {
    const auto id = static_cast<Wire>(random() % 32);
    if (!turn.peer.say(id, random_bytes(random, random() % (i % 2 ? 64 : 5'000)))) return;
  }
}

void says_noise_without_frames(Turn& turn) {
  std::mt19937 random(static_cast<unsigned>(turn.number));
  turn.peer.send(random_bytes(random, 200'000));
}

void names_huge_lengths(Turn& turn) {
  static const uint32_t lengths[] = {0x7fffffff, 0xffffffff, 0x80000000, (1 << 20) + 2,
                                     9 + kBlock + 1};
  static const Wire ids[] = {Wire::piece, Wire::bitfield, Wire::extended, Wire::hashes};
  const auto turns = static_cast<unsigned>(turn.number);
  turn.peer.send(word(lengths[turns % 5]) + static_cast<char>(ids[turns / 5 % 4]));
  turn.peer.send(std::string(2 << 20, 'x'));
}

void ends_in_the_middle_of_messages(Turn& turn) {
  const int id = turn.number % 24;
  if (id % 2) promise_all(turn);
  turn.peer.send(word(100) + static_cast<char>(id) + std::string(turn.number % 99u, '\0'));
}

void says_too_short_messages(Turn& turn) {
  turn.peer.say(static_cast<Wire>(turn.number % 24), std::string(turn.number % 3u, '\1'));
}

void has_other_bitfields(Turn& turn) {
  const size_t right = (pieces_of(turn.subject) + 7) / 8;
  const std::string ones(right, '\xff');  // with bits behind the last piece
  const std::string fields[] = {"", ones, ones + ones, ones.substr(1),
                                std::string(1 << 19, '\xff')};
  turn.peer.say(Wire::bitfield, fields[turn.number % 5]);
  turn.peer.say(Wire::bitfield, std::string(right, '\0'));
  turn.peer.say(Wire::have_all);
  turn.peer.say(Wire::have_none);
}

void has_pieces_that_are_not(Turn& turn) {
  turn.peer.say(Wire::have_none);
  const uint32_t pieces = pieces_of(turn.subject);
  for (const uint32_t piece : {pieces, pieces + 1, kHuge[0], kHuge[1], kHuge[2]}) {
    turn.peer.say(Wire::allowed_fast, word(piece));
    turn.peer.say(Wire::suggest, word(piece));
    if (static_cast<uint32_t>(turn.number) % 2) turn.peer.say(Wire::have, word(piece));
  }
  turn.peer.say(Wire::have, word(kHuge[turn.number % 3]));
}

void promises_and_is_silent(Turn& turn) {
  answer_all(turn, [](const std::string&) {});
}

void gives_a_byte_now_and_then(Turn& turn) {
  answer_all(turn, [&](const std::string& request) {
    ++turn.deeds;
    for (const char c : frame(Wire::piece, answer_to(turn.subject, request))) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      if (!turn.peer.send({&c, 1})) return;
    }
  });
}

void rejects_all_requests(Turn& turn) {
  answer_all(turn, [&](const std::string& request) { turn.peer.say(Wire::reject, request); });
}

void gives_each_block_many_times(Turn& turn) {
  answer_all(turn, [&](const std::string& request) {
    for (int i = 0; i < 3; ++i) turn.peer.say(Wire::piece, answer_to(turn.subject, request));
  });
}

void gives_other_blocks_than_asked_for(Turn& turn) {
  answer_all(turn, [&](const std::string& request) {
    const uint32_t piece = (word_at(request, 0) + 1) % (pieces_of(turn.subject) - 1);
    turn.peer.say(Wire::piece,
                  block_body(turn.subject, piece, word_at(request, 4), word_at(request, 8)));
  });
}

void gives_blocks_of_other_lengths(Turn& turn) {
  answer_all(turn, [&](const std::string& request) {
    const uint32_t lengths[] = {kBlock - 1, 1, 0, kBlock + 1, 2 * kBlock};
    turn.peer.say(Wire::piece, block_body(turn.subject, word_at(request, 0), word_at(request, 4),
                                          lengths[turn.number % 5]));
  });
}

void gives_blocks_at_odd_offsets(Turn& turn) {
  answer_all(turn, [&](const std::string& request) {
    turn.peer.say(Wire::piece, block_body(turn.subject, word_at(request, 0),
                                          word_at(request, 4) + 1 + turn.number % 3u, kBlock));
  });
}

void pushes_what_nobody_asked_for(Turn& turn) {
  for (uint32_t piece = 0; piece < pieces_of(turn.subject) - 1; ++piece)
    for (uint32_t block = 0; block < 16; ++block)
      turn.peer.say(Wire::piece, block_body(turn.subject, piece, block * kBlock, kBlock));
}

void pushes_wrong_blocks(Turn& turn) {
  turn.peer.say(Wire::piece, word(2) + word(0) + std::string(kBlock, 'w'));
}

void gives_wrong_blocks(Turn& turn) {
  answer_all(turn, [&](const std::string& request) {
    std::string body = answer_to(turn.subject, request);
    body.back() = static_cast<char>(body.back() ^ 1);
    turn.peer.say(Wire::piece, body);
  });
}

void gives_blocks_of_no_piece(Turn& turn) {
  promise_all(turn);
  const std::string bytes(kBlock, '\0');
  const uint32_t last = pieces_of(turn.subject) - 1;
  const std::string places[] = {word(last + 1) + word(0),  word(kHuge[0]) + word(0),
                                word(kHuge[1]) + word(0),  word(kHuge[2]) + word(0),
                                word(0) + word(kHuge[0]),  word(0) + word(kHuge[1]),
                                word(0) + word(kHuge[2]),  word(0) + word(256 << 10),
                                word(last) + word(kBlock), word(last) + word(kHuge[2] - 16'383)};
  turn.peer.say(Wire::piece, places[turn.number % 10] + bytes);
}

std::string hash_place(const std::string& root, uint32_t base, uint32_t index, uint32_t count,
                       uint32_t proofs) {
  return root + word(base) + word(index) + word(count) + word(proofs);
}

std::vector<std::string> odd_hash_places(const Subject& subject) {
  const std::string root(util::as_text(subject.tree->root().bytes())), other(32, 'r');
  std::vector<std::string> made;
  for (const uint32_t odd : {kHuge[0], kHuge[1], kHuge[2], 3u, 100u, 511u, 512u, 8'192u})
    for (const uint32_t base : {0u, 4u, odd}) {
      made.push_back(hash_place(root, base, odd, 2, 1));
      made.push_back(hash_place(root, base, 0, odd, 1));
      made.push_back(hash_place(root, base, 0, 2, odd));
      made.push_back(hash_place(other, base, 0, odd, 0));
    }
  return made;
}

void asks_for_odd_hashes(Turn& turn) {
  for (const auto& place : odd_hash_places(turn.subject))
    if (!turn.peer.say(Wire::hash_request, place)) return;
  turn.peer.say(Wire::hash_request, "short");
}

void gives_odd_hashes(Turn& turn) {
  const auto places = odd_hash_places(turn.subject);
  const auto turns = static_cast<size_t>(turn.number);
  promise_all(turn);
  turn.peer.say(Wire::hash_reject, places[turns % places.size()]);
  turn.peer.say(Wire::hashes, places[turns % places.size()] + std::string(64 * (turns % 4), 'h'));
}

void gives_false_hashes(Turn& turn) {
  const std::string root(util::as_text(turn.subject.tree->root().bytes()));
  promise_all(turn);
  const uint32_t base = turn.number % 2 ? 0 : 4, count = turn.number % 3 ? 2 : 16;
  turn.peer.say(Wire::hashes, hash_place(root, base, 0, count, 0) + std::string(32 * count, 'h'));
}

void asks_for_bytes_that_are_not(Turn& turn) {
  const uint32_t last = pieces_of(turn.subject) - 1;
  turn.peer.say(Wire::interested);
  for (const uint32_t odd : {kHuge[0], kHuge[1], kHuge[2], 256u << 10, 0u, kBlock + 1})
    for (const auto& place :
         {word(odd) + word(0) + word(kBlock), word(0) + word(odd) + word(kBlock),
          word(0) + word(1) + word(odd), word(last) + word(kBlock) + word(kBlock)}) {
      if (!turn.peer.say(Wire::request, place)) return;
      turn.peer.say(Wire::cancel, place);
      turn.peer.say(Wire::reject, place);
    }
}

/// Until the other has had enough: it has to, for what it would answer waits in its memory.
void floods_and_does_not_read(Turn& turn, const std::string& message) {
  std::string many;
  for (int i = 0; i < 1'000; ++i) many += message;
  while (turn.peer.send(many)) {
  }
  ++turn.deeds;
}

void asks_for_all_and_does_not_read(Turn& turn) {
  turn.peer.say(Wire::interested);
  floods_and_does_not_read(turn, frame(Wire::request, word(3) + word(kBlock) + word(kBlock)));
}

void asks_for_hashes_and_does_not_read(Turn& turn) {
  const std::string root(util::as_text(turn.subject.tree->root().bytes()));
  floods_and_does_not_read(turn, frame(Wire::hash_request, hash_place(root, 4, 0, 32, 0)));
}

void changes_its_mind(Turn& turn) {
  promise_all(turn);
  for (int i = 0; i < 500; ++i)
    for (const Wire id : {Wire::unchoke, Wire::interested, Wire::choke, Wire::not_interested})
      turn.peer.say(id);
}

void extends_the_protocol(Turn& turn) {
  const std::string handshakes[] = {"",
                                    "d",
                                    std::string(100'000, 'l'),
                                    "d1:md11:ut_metadatai-1e6:ut_pexi999999999999999999999ee",
                                    "d1:md10:lt_donthavei7eee",
                                    "d4:reqqi-5e1:pi-1e12:metadata_sizei2147483647e1:v3:abce",
                                    "d999999999999:"};
  turn.peer.say(Wire::extended, '\0' + std::string(handshakes[turn.number % 7]));
  for (const char id : {'\1', '\2', '\3', '\7', '\x7f', '\xff'})
    for (const auto* body :
         {"d8:msg_typei0e5:piecei0ee", "d5:added6000000:", "\xff\xff\xff\xff", ""})
      if (!turn.peer.say(Wire::extended, id + std::string(body))) return;
}

void opens_with_something_else(Turn& turn) {
  const std::string right = WirePeer::handshake(turn.info_hash);
  std::string renamed = right, stranger = right;
  renamed[5] = 'X';
  stranger[30] = static_cast<char>(stranger[30] ^ 1);
  const std::string openings[] = {renamed,
                                  stranger,
                                  right.substr(0, 20),
                                  std::string(10'000, '\0'),
                                  "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                                  "\x16\x03\x01\x02" + std::string(600, '\1'),
                                  right + right,
                                  right + std::string(5, '\xff')};
  turn.peer.send(openings[turn.number % 8]);
}

}  // namespace

std::vector<Attack> all_attacks() {
  return {
      {"garbage", says_garbage, 30},
      {"noise", says_noise_without_frames, 10},
      {"huge_lengths", names_huge_lengths, 20},
      {"truncated", ends_in_the_middle_of_messages, 24},
      {"too_short", says_too_short_messages, 24},
      {"bitfields", has_other_bitfields, 5},
      {"false_haves", has_pieces_that_are_not, 6},
      {.name = "silent", .act = promises_and_is_silent, .is_asked = true, .counts_itself = true},
      {.name = "slow", .act = gives_a_byte_now_and_then, .is_asked = true, .counts_itself = true},
      {.name = "rejecting",
       .act = rejects_all_requests,
       .deeds = 4,
       .is_asked = true,
       .counts_itself = true},
      {.name = "duplicates",
       .act = gives_each_block_many_times,
       .deeds = 4,
       .is_asked = true,
       .counts_itself = true},
      {.name = "others",
       .act = gives_other_blocks_than_asked_for,
       .is_asked = true,
       .counts_itself = true},
      {.name = "lengths",
       .act = gives_blocks_of_other_lengths,
       .is_asked = true,
       .counts_itself = true},
      {.name = "offsets",
       .act = gives_blocks_at_odd_offsets,
       .is_asked = true,
       .counts_itself = true},
      {"pushed", pushes_what_nobody_asked_for},
      {.name = "pushed_wrong", .act = pushes_wrong_blocks, .lies = true},
      {.name = "wrong",
       .act = gives_wrong_blocks,
       .lies = true,
       .is_asked = true,
       .counts_itself = true},
      {"no_piece", gives_blocks_of_no_piece, 10},
      {"odd_hash_requests", asks_for_odd_hashes, 3},
      {"odd_hashes", gives_odd_hashes, 96},
      {"false_hashes", gives_false_hashes, 6},
      {"odd_requests", asks_for_bytes_that_are_not, 3},
      {.name = "requests_unread", .act = asks_for_all_and_does_not_read, .counts_itself = true},
      {.name = "hashes_unread", .act = asks_for_hashes_and_does_not_read, .counts_itself = true},
      {"fickle", changes_its_mind, 3},
      {"extensions", extends_the_protocol, 7},
      {.name = "openings", .act = opens_with_something_else, .deeds = 16, .shakes_hands = false},
  };
}

}  // namespace swarmfs::torrent_test

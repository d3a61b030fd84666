// Inputs of the pipeline as bytes, and how they change.
#include <algorithm>
#include <array>
#include <random>

#include "pipeline.h"

namespace sluice::fuzz {
namespace {

constexpr std::size_t kMaxRecords = 64;
constexpr std::size_t kMaxFrame = 1600;  // more than the MTU: such frames come too

std::size_t get16(std::span<const std::uint8_t> bytes, std::size_t at) {
  return bytes[at] | static_cast<std::size_t>(bytes[at + 1]) << 8;
}

void put16(Bytes& out, std::size_t value) {
  out.push_back(static_cast<std::uint8_t>(value));
  out.push_back(static_cast<std::uint8_t>(value >> 8));
}

}  // namespace

Input decode(std::span<const std::uint8_t> bytes) {
  Input input;
  if (bytes.size() < 2) return input;
  input.config = static_cast<std::uint16_t>(get16(bytes, 0));
  std::size_t at = 2;
  while (at + 3 <= bytes.size() && input.records.size() < kMaxRecords) {
    Record record{.head = bytes[at++], .body = {}};
    std::size_t length = 2;
    if (record.kind() == Record::kRaw) {
      length = std::min(get16(bytes, at), kMaxFrame);
      at += 2;
    } else if (record.kind() == Record::kReply) {
      length = at + 3 <= bytes.size() ? 3 + std::size_t{bytes[at + 2]} % 8 * 2 : 3;
    } else if (record.kind() == Record::kError) {
      length = 4;
    }
    length = std::min(length, bytes.size() - at);
    record.body.assign(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                       bytes.begin() + static_cast<std::ptrdiff_t>(at + length));
    at += length;
    input.records.push_back(std::move(record));
  }
  return input;
}

Bytes encode(const Input& input) {
  Bytes out;
  put16(out, input.config);
  for (const Record& record : input.records) {
    out.push_back(record.head);
    if (record.kind() == Record::kRaw) put16(out, record.body.size());
    out.insert(out.end(), record.body.begin(), record.body.end());
  }
  return out;
}

void mutate(Input& input, unsigned seed, const Mutate& mutate) {
  std::minstd_rand random(seed + 1);
  const auto below = [&](std::size_t end) { return end == 0 ? 0 : random() % end; };
  std::vector<Record>& records = input.records;
  const auto place = [&](std::size_t i) { return records.begin() + static_cast<std::ptrdiff_t>(i); };
  const std::size_t chosen = below(records.size());
  const auto index = [&] { return static_cast<std::uint8_t>(below(4)); };
  switch (records.empty() ? 7 : below(12)) {
    case 0:
      records.erase(place(chosen));
      break;
    case 1:
      records.insert(place(chosen), Record(records[below(records.size())]));
      break;
    case 2:
      std::swap(records[chosen], records[below(records.size())]);
      break;
    case 3:
      records[chosen].head ^= static_cast<std::uint8_t>(1u << (2 + below(6)));
      break;
    case 4:
      records.insert(place(chosen) + 1,
                     {Record::kTime, {static_cast<std::uint8_t>(random()), static_cast<std::uint8_t>(random())}});
      break;
    case 5:
      records.insert(place(chosen) + 1, {Record::kReply | Record::kFixChecksums, {index(), 0, 0}});
      break;
    case 6: {
      const bool v6 = below(2) != 0;
      const auto type =
          static_cast<std::uint8_t>(v6 ? 1 + below(4) : std::array<std::size_t, 5>{3, 4, 5, 11, 12}[below(5)]);
      records.insert(place(chosen) + 1, {Record::kError | Record::kFixChecksums,
                                         {index(), 0, type, static_cast<std::uint8_t>(below(16))}});
      break;
    }
    case 7:
      input.config = static_cast<std::uint16_t>(random());
      break;
    default: {
      Bytes& body = records[chosen].body;
      const std::size_t size = body.size();
      const std::size_t room = records[chosen].kind() == Record::kRaw ? kMaxFrame : 32;
      body.resize(std::max(size, room));
      body.resize(mutate(body.data(), size, body.size()));
      if (records[chosen].kind() == Record::kRaw && below(2) != 0) records[chosen].head |= Record::kFixChecksums;
    }
  }
  if (records.size() > kMaxRecords) records.resize(kMaxRecords);
}

}  // namespace sluice::fuzz

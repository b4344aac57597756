// SPDX-License-Identifier: Apache-2.0
// The PEF of version 2, byte for byte. This header is the contract between the compiler and the engines; it includes
// only stdint, the segments (record.def) and the schema of stages (stage.def), and reads like a specification. Files of
// version 1 are read, too (pef_v1.h says what they have otherwise): as what this header says, in memory.
//
// Little-endian. Every record has a size that is a multiple of 8 and no implicit padding; unused bytes are zero.
// A file is: header | segment table | segments, each 64-byte aligned, in ascending kind order, every kind at most once:
// one that is not there is empty. Bytes between them are zero. All offsets into the file are bytes from its start;
// indices count records; strings are offsets into STRINGS.
//
//   program   a list of section calls in execution order
//   call      (type, body, arguments): arguments are places in symbols, in the arena, or in constants
//   body      stages that run one after the other on a tile of `rows`, and the tile buffers between them; bodies are
//             shared by equal calls
//   stage     one operation on strided operands; operand = (argument | tile buffer) + offset + dims + strides
//
// Rows and tiles. A body iterates over rows [0, row_count). An engine may cut this range into tiles of at most
// tile_rows_max rows in any way, run tiles in any order and on any thread: the result bits are the same, since rows do
// not depend on each other. An operand with row_dim != PEF_NO_ROW_DIM holds, in a tile of rows [r0, r1), the extent
// (r1-r0)*row_mult in that dim, and in space ARGUMENT starts r0*row_mult*strides[row_dim] elements further. All other
// operands are the same for every tile. A body with row_count 1 is one tile. Stages of one tile see each other's
// writes in order; tiles never read what other tiles of the same call write.
// Dims that a stage needs equal are equal in every tile: such operands carry the same row dim and row_mult, but one of
// MAP or CONTRACT that is broadcast there (stride 0) may carry none; the extents of a tile are those of the stage's
// outputs. Rows never run along a dim that the stage sums, scans, sorts, windows or looks up (but see SCATTER). When
// row_count > 1, every output has a row dim, and at least one of the body lies in space ARGUMENT. Elements of an output
// do not overlap (REDUCE and CONTRACT: but for the dims they sum).
// Spaces. Rows are one dim of what a body iterates over; AXES gives it a second and a third one, [0, count) each. A
// tile is then a box: rows [r0, r1), and [a, b) of at most tile_max along each axis. CUTS say what of an operand runs
// along an axis: its dim `dim` has count*mult elements, of which a tile holds [a*mult, b*mult). All that is said of
// rows holds of axes: an operand in space ARGUMENT starts further on, one in SCRATCH anew (its strides being those of a
// tile of tile_max); dims that are equal are cut alike; an output is cut along every axis with a count above 1; and no
// tile reads what another writes. Dims that axes may run along are those of `space` in stage.def. Halo. Where an axis
// runs along the positions of a window, the windowed dim of the input, of any extent e, is cut, too: mult is the stride
// of the window, and a tile holds [a*mult - before, b*mult + after) of it, as much as lies in [0, e), but at least one
// element. `before` and `after` say what the window reaches: low, and its reach less stride and low. Such an input lies
// in space ARGUMENT, and has no base dilation there.
//
// Extents may be 0. A stage whose outputs have no elements does nothing, nor does a SCATTER without updates; a REDUCE
// over no elements yields 0, 1, the least or the greatest number (SUM, PROD, MAX, MIN), a CONTRACT over none 0. The
// other kinds need at least one element of all that an element of their result is made of.
// Every record of ARGUMENTS, STAGES, OPERANDS, INSTRUCTIONS and BUFFERS has one owner; they lie in the order of their
// owners.
//
// Tile buffers. A buffer of a body holds one value of one tile, row-major without gaps. It has a row dim where the body
// has more than one row: a tile of r rows has r parts of row_count of its extent there, and the dims before have extent
// 1, so that its strides are the same in every tile; along axes its extents are those of a tile of tile_max. An operand
// in space SCRATCH is a view of one buffer of its body, of the same dtype, and stays inside it in a tile of any height.
// `first` and `last` are the first and the last stage that read or write it. A value is made by stages that only write
// it, of which `first` is one; once a stage has read it, none writes to it but those that read it, too. What a buffer
// holds before is undefined, and behind `last` it holds nothing. Where buffers lie is a matter of targets: each has a
// segment of its own for that, or none. NATIVE_LAYOUT is that of the engine `native`, for tiles of tile_rows_max rows:
// buffers that live at once (from `first` to `last`, both inclusive) share no byte.
//
// Loops. A loop stands for its calls written out `trips` times: they run in order, trip after trip, each with its
// barrier in every trip (that of the first call parts a trip from the one before). Loops nest: of two, one holds all
// calls of the other or none of them; no more than PEF_MAX_LOOP_DEPTH hold one call. The calls of a loop are all of
// type PREPARE or none is. RANDOM adds stream_step for every trip that has gone by, of each loop around the call.
//   What moves from trip to trip is arguments. An argument names a value as a whole; a body sees of it what begins
// `first` bytes further, and `step` bytes a trip after that: the sum of both over all its MOVES, which may go backwards
// and stays within the argument's bytes in every trip. Or its place is another one in each trip: PLACES.
//   Whatever a trip leaves in memory the next one finds: carried values, stacks of one part a trip and sums need
// nothing else. A stage that writes over what it reads does so in all trips or in none.
//   Section types that one loop holds run together only, in all of the file (FWD of all trips before BCKWD of any is
// another program), but for loops that are marked: with PEF_LOOP_APART; or with PEF_LOOP_FWD_ALONE, where FWD may run
// without the others, of which it reads nothing, but not they without it.
//
// Batches (2.1). A loop that is marked with PEF_LOOP_BATCHES repeats its calls batch after batch, each in a run of its
// own with inputs and outputs of that batch's: inputs and outputs have the shape of one, and what a trip leaves in
// symbols the next one finds. A file has at most one; no loop lies around it, and nothing moves with it. In front of
// its calls there are PREPARE sections only; none of its section types is one behind it. Its types run apart, too, in
// each trip: a run of the greatest of them ends the trip. Calls behind it run with the last trip, or after it; runs
// that ask for them before leave them out. A call in it may be of some trips only: of the first, of all others, or of
// the last one (pef_when). A run that is no trip (sections by number, runs aside) leaves such calls out, and counts for
// nothing. What such a call leaves in the arena is for calls of the same trips.
//
// Families (2.1). What repeats, as the layers of a deep model do, a file says once. A family is `times` blocks of
// `count` records of one table (of STRINGS: bytes), one behind the other, of which the file has the first; each further
// one is the block before it, moved by the family's STEPS. All else here speaks of tables that are written out so, and
// so do all indices in them, and `first` of a family: the files of two programs are the same program if what is written
// out is equal. Families have tables of records, but FAMILIES and STEPS, and STRINGS.
//
// Blocks (2.1). A parameter may lie in blocks of one of its dims, as panels of a product's columns or channels side by
// side: the dim is cut in blocks of `block` places, the last one as wide as what is left. The first `outer` dims go
// around all, row-major; then come the blocks, in each the other dims from `outer` on, row-major, and innermost the
// places of the block. Its bytes are as many as otherwise. Stages see the bytes as they lie; what a symbol holds for
// whoever reads or writes it from outside are its values, row-major. Nobody outside sees arena and tile buffers: their
// dims are written as they lie.
//
// Chips (2.2). Optional segments say where a chip has what bodies compute; what is computed does not depend on them.
// CHIPS has one record, or none of these segments has any. A chip has `tiles` tiles, of which the file uses the first
// `tiles_used`. Tile t is in column t / stack and row t % stack of the chip's tiles. A tile has rows x columns cells,
// around the corners of which lie (rows + 1) x (columns + 1) switches. Cells and switches are numbered tile by tile,
// row-major. Of the cells of a tile, n of them, `pcus` are PCUs and `pmus` PMUs: with i = r * columns + (r + c) %
// columns for cell (r, c), it is a PCU if floor((i + 1) * pcus / n) is more than p = floor(i * pcus / n); else, with
// j = i - p and m = n - pcus, a PMU if floor((j + 1) * pmus / m) is more than floor(j * pmus / m). Others are empty.
//   A cell touches the four switches at its corners. A switch is linked, both ways, with those beside it, above and
// below it in its tile by vector_links links, and across the border to the next tile with the one that it faces by
// border_links. AGCU k of the `agcus` of a tile hangs, by one link each way, on the switch in row floor((2 * floor(k /
// 2) + 1) * (rows + 1) / (2 * ceil(agcus / 2))) of the first column of switches if k is even, of the last if it is odd;
// it has `ports` ports: port q is cell (t * agcus + k) * ports + q of type AG, and touches the AGCU alone. Nodes are
// the switches, then the AGCUs, tile by tile. A link carries a vector of 64 bytes a cycle, and takes `hop` cycles.
//   A body that is planned runs on `parts` groups of tiles that are alike: what follows is of the first, tiles 0 to
// tiles_used / parts; group g has the same, in tiles g * tiles_used / parts on. It has stages with their PCUs, edges
// (what passes between stages, or to and from DDR) with their PMUs, units on cells, and nets. A net carries what its
// source says to all its sinks; its hops are a tree whose roots are the nodes that the source touches: a hop goes along
// a link from a root, or from a node that an earlier hop of the net has entered, to a node that none has. It touches
// each of its sinks. The copies of a tile that a PMU holds lie in banks: its even copies in banks[0], the odd ones in
// banks[1], the last in banks[2] where their number is odd and above 1; these share none, since one of two copies that
// follow each other is written while the other is read.
//
// Values. Stages compute in the class (enum pef_class) of the dtype of what they read, a CONTRACT in that which all
// three share; a result is converted when it is stored, not before. A conversion rounds once, to nearest, ties to even;
// a float becomes an integer by truncation, the least of i64 where that does not fit or it is a NaN; integers lose
// their high bits; a bool is whether a value is not 0. Integers wrap in sums and products. That an element is a NaN is
// said; which of the NaNs it is is not. What scalar functions give is what src/kern gives, on every machine.
//
// Order of summation. Every contraction adds k ascending (lexicographic over its k dims) into one fma accumulator per
// element. Every float REDUCE sum over dims whose innermost reduced dim is the operand's innermost dim with stride 1
// keeps 16 partial sums, from 0 on, lane i taking elements i, i+16, ... of each run of that dim (all runs into the same
// lanes), then adds lanes i and i+8, i+4, i+2, i+1 in that order; every other REDUCE goes sequentially in lexicographic
// order.
//
// Pairs (2.2). A parameter `pairs` = 1 says that the terms of a sum of products of bf16 go in pairs: of terms 2i and
// 2i + 1 of a block of k the odd one comes first, then the even one. Each is a fused multiply-add in f32, rounded once,
// to nearest even, that knows no denormals: in both factors and in the accumulator one counts as a zero of its sign,
// and a result that is below the least normal number when it is rounded to 24 bits of any exponent is a zero of its
// sign. Where the last pair has no odd term, +0 times +0 is added in its place. NaN and infinities go their usual ways.
// (This is what AVX512-BF16 computes.) Sums of blocks are added like any others.
//
// Long sums. A parameter `chain` = L > 0 says that no accumulator takes more than L terms: the terms, in
// the order above, are cut into blocks, each is summed from 0 as above, and the sums of the m blocks are added
// pairwise: those of the first h, h being the greatest power of two below m, plus those of the rest, each made the same
// way. Blocks are
//   REDUCE SUM   L terms; in lanes, of which there are 64 then: 64 L elements of a run and what is left of it, or, of
//                runs that are not longer, floor(L / ceil(run / 64)) whole runs. At the end of a block lanes i and
//                i+32, i+16 are added; blocks are added lane by lane, then lanes i and i+8, i+4, i+2, i+1.
//   CONTRACT     L terms of k. C += A B: the first block starts from C.
//   CONV         L terms of k, those in the padding and in holes counted.
//   CONV_WGRAD   L positions (n, t) of a batch, those in the padding counted.
// L = 0: one block, however long. L is for sums in floats; PEF_CHAIN_* are what is written.
//
// ATTENTION and ATTENTION_GRAD (2.2) say in stage.def in which order they add.
//
// Partial sums. Parts of a sum are rows: a stage sums each part for itself, the dim that counts parts is one that it
// keeps (of CONV_WGRAD a batch dim), its result has an accumulator a part, and a REDUCE adds these in the order above.
//
// Versions. A file says the least minor version that has all of it: its segments, what is not 0 in its records (the
// sizes of records are those of that version), its stages and their parameters (`since` in stage.def), the bodies of
// its scalar functions. Minor versions only append. A reader takes a file of a newer minor version if it knows all that
// the file uses: it ignores segments of unknown kind that are not marked as required, and cuts what records have more
// than it knows, if that is 0; what else it does not know it refuses, and names the version that does. It refuses a
// greater major version.
#ifndef LEAT_PEF_FORMAT_H_
#define LEAT_PEF_FORMAT_H_

#include <stdint.h>

#define PEF_MAGIC "LEATPEF"  // 8 bytes with the NUL
#define PEF_VERSION_MAJOR 2u
#define PEF_VERSION_MINOR 2u  // the newest that is known
#define PEF_ENDIAN_MARK 0x01020304u
#define PEF_FLOAT_MARK 370.5  // f64: catches foreign float formats
#define PEF_ALIGN 64u
#define PEF_MAX_RANK 8u
#define PEF_NO_ROW_DIM 0xffu
#define PEF_NONE 0xffffffffu
#define PEF_NO_OUTPUT 0xffffu
#define PEF_MAX_ARGUMENTS 1048576u  // per body
#define PEF_MAX_BUFFERS 65535u      // per body
#define PEF_MAX_AXES 2u             // per body, beside its rows
#define PEF_MAX_BOXES \
  262144u  // per file: tiles of tile_max along axes, where there are more than one, times 1 +
           // the operands, instructions and PEF_BOX_PRODUCTS-th products of a CONV (an element
           // of y) of their body
#define PEF_BOX_PRODUCTS 64u
#define PEF_MAX_OPERANDS 65535u      // per stage
#define PEF_MAX_INSTRUCTIONS 65535u  // per stage
#define PEF_MAX_LOOP_DEPTH 8u        // loops around a call
#define PEF_MAX_TRIPS 0x80000000u    // of a loop
#define PEF_MAX_TIMES 256u           // of a family: tables have no more than that many times the bytes in the file
#define PEF_MAX_DIGITS 18u           // of a number in a family of strings
#define PEF_CHAIN_MAX 65536
#define PEF_CHAIN_PRODUCT \
  4096                              // of products: fewer terms are one chain, as they always were; of a CONV whole
                                    // channels, of which it has one at least
#define PEF_CHAIN_LONG_PRODUCT 512  // of a CONTRACT over more terms than that
#define PEF_CHAIN_SUM 16            // of what is only added: as short as costs nothing
#define PEF_ATTENTION_BLOCK_MAX 512
#define PEF_ATTENTION_BLOCK 128  // what is written

enum pef_segment_kind {
#define RECORD(suffix, number, one, table, record, need, ...) PEF_SEGMENT_##suffix = (number),
#define BYTES(suffix, number, name, need) PEF_SEGMENT_##suffix = (number),
#include "pef/record.def"
  PEF_SEGMENT_END
};
// STRINGS    NUL-terminated UTF-8, offset 0 is ""
// CONSTANTS  bytes that arguments lie in
// METADATA   one JSON object, keys sorted, no NUL at the end
// INFO       exactly one record

typedef struct pef_header_s {
  char magic[8];
  uint32_t version_major, version_minor;
  uint32_t endian_mark, segment_count;
  double float_mark;
  uint64_t file_bytes;  // of the whole file
  uint64_t table_hash;  // XXH3-64 of the segment table
  uint8_t reserved[16];
} pef_header_t;  // 64 bytes

enum pef_segment_flag { PEF_SEGMENT_IS_REQUIRED = 1 };  // as record.def says of its kind

typedef struct pef_segment_s {
  uint32_t kind, record_bytes;   // record_bytes: size of one record as the writer knew it; 1 for byte segments
  uint64_t offset, bytes, hash;  // XXH3-64 of the segment's bytes
  uint32_t flags, reserved0;
} pef_segment_t;  // 40 bytes

typedef struct pef_info_s {
  uint64_t fingerprint[3];  // forward, seeds, optimizers
  uint64_t arena_bytes;     // temporaries and values between sections; symbols not counted
  uint64_t peak_bytes;      // arena + symbols + constants
  uint32_t arch;            // string
  uint32_t optim_level;
  uint32_t inference;
  uint32_t compiler;             // string: version of the compiler
  double run_flops, run_bytes;   // of one run of all sections
  uint64_t fingerprint_version;  // by which definition they are computed (ir/fingerprint.h)
} pef_info_t;

enum pef_dtype {  // ORDER: = src/ir/dtype.def
  PEF_F32 = 0,
  PEF_F64 = 1,
  PEF_BF16 = 2,
  PEF_F16 = 3,
  PEF_I8 = 4,
  PEF_U8 = 5,
  PEF_I16 = 6,
  PEF_I32 = 7,
  PEF_I64 = 8,
  PEF_BOOL = 9,
  PEF_DTYPE_COUNT
};

enum pef_symbol_kind {
  PEF_SYMBOL_INPUT = 0,
  PEF_SYMBOL_OUTPUT = 1,
  PEF_SYMBOL_PARAMETER = 2,
  PEF_SYMBOL_BUFFER = 3,
  PEF_SYMBOL_GRADIENT = 4,
  PEF_SYMBOL_STATE = 5,
  PEF_SYMBOL_HYPERPARAMETER = 6,
  PEF_SYMBOL_SEED = 7,
  PEF_SYMBOL_INTERNAL = 8,
  PEF_SYMBOL_KIND_COUNT
};

typedef struct pef_symbol_s {
  uint32_t name;  // string, unique
  uint8_t kind, dtype, rank, reserved0;
  uint32_t of;  // gradient, state, seed: the symbol it belongs to, else PEF_NONE
  uint32_t reserved1;
  uint64_t bytes;  // elements * dtype size; row-major, contiguous, 64-byte aligned
  uint64_t init;   // f64 bits: every element at load (hyperparameters: the default)
  int64_t dims[8];
} pef_symbol_t;

// Ascending by symbol, a PARAMETER.
typedef struct pef_block_s {
  uint32_t symbol;
  uint8_t dim, outer;  // outer <= dim
  uint16_t reserved0;
  uint64_t block;  // 1 to the extent of the dim
} pef_block_t;     // 16 bytes

// A bound of indices or divisors: elements of a symbol of integers that must be low..high, or `ignored` where
// has_ignored is 1. 1..-1 is every number but 0 (a divisor); else, where low is greater than high, no number is between
// them. Of a symbol of kind INTERNAL forward sections write the elements, and they are checked after these; of others
// before a run. A run ends where a bound does not hold: parameters, buffers and state are as before it.
typedef struct pef_bound_s {
  uint32_t symbol, origin;  // origin: string, "op at module (source)": what demands it
  int64_t low, high, ignored;
  uint8_t rank, has_ignored, reserved0[6];
  uint64_t offset;              // of the first element, in elements
  int64_t dims[8], strides[8];  // elements; strides >= 0, no more elements than the symbol has
} pef_bound_t;

enum pef_section_type {  // ORDER: = leat_section_type_t
  PEF_FWD = 0,
  PEF_BCKWD = 1,
  PEF_GRADNORM = 2,
  PEF_OPT = 3,
  PEF_REDUCE = 4,
  PEF_GATHER = 5,
  PEF_PREPARE = 6,  // depends on parameters, buffers and constants only: run before the first other
                    // section after any of them changed (write, load, an OPT section)
  PEF_TYPE_COUNT
};

enum pef_place_kind { PEF_PLACE_ARENA = 0, PEF_PLACE_SYMBOL = 1, PEF_PLACE_CONSTANT = 2 };

typedef struct pef_argument_s {
  uint32_t kind;    // pef_place_kind
  uint32_t symbol;  // PLACE_SYMBOL: index; else 0
  uint64_t offset;  // bytes into the arena, the symbol or the constants; multiple of the dtype size
  uint64_t bytes;   // bytes that may be touched from there
} pef_argument_t;

// In which trips of the loop over batches around it a call is made (2.1).
enum pef_when { PEF_WHEN_ALWAYS = 0, PEF_WHEN_FIRST = 1, PEF_WHEN_LATER = 2, PEF_WHEN_LAST = 3, PEF_WHEN_COUNT };

typedef struct pef_call_s {
  uint8_t type;     // pef_section_type
  uint8_t barrier;  // 1: all earlier calls must have ended before this one starts
  uint16_t when;    // pef_when
  uint32_t body;
  uint32_t argument_first, argument_count;
  uint32_t name;    // string: for reports
  uint32_t why;     // string: why the section was cut here
  uint32_t stream;  // added to the streams of the body's RANDOM stages
  uint32_t reserved1;
  double flops, bytes;  // cost estimate
} pef_call_t;

enum pef_loop_flag {
  PEF_LOOP_APART = 1,      // its section types may run apart as well
  PEF_LOOP_BATCHES = 2,    // its trips are batches, each of a run of its own: with PEF_LOOP_APART (2.1)
  PEF_LOOP_FWD_ALONE = 4,  // its FWD sections, of which it has some, may run without the others (2.1)
};

// In the order of their first calls, the outer of two that begin at one call first.
typedef struct pef_loop_s {
  uint32_t call_first, call_count;  // at least one
  uint32_t trips;                   // 1 to PEF_MAX_TRIPS
  uint32_t stream_step;             // added to the streams of RANDOM with every trip
  uint32_t flags;                   // pef_loop_flag
  uint32_t name;                    // string: for reports
} pef_loop_t;                       // 24 bytes

// In the order of their arguments, then of their loops; one for an argument and a loop.
typedef struct pef_move_s {
  uint32_t argument;     // of a call of the loop
  uint32_t loop;         // PEF_NONE: none, and step 0; such a move comes last
  int64_t first, step;   // bytes, multiples of the dtype size; in trip t: first + step * t
  uint32_t place_first;  // PEF_NONE: the argument's own place; else that of trip t is record place_first + t of PLACES,
                         // each with the argument's bytes, the first one equal to the argument. At most one of the
                         // moves of an argument has places, and each record of PLACES one move, in the order of MOVES
  uint32_t reserved0;
} pef_move_t;  // 32 bytes

typedef struct pef_body_s {
  uint32_t stage_first, stage_count;
  uint32_t argument_count;
  uint32_t tile_quantum;  // tiles should start at multiples of this many rows
  uint64_t row_count;
  uint64_t tile_rows_max;  // layouts of buffers are made for this many rows
  uint32_t buffer_first, buffer_count;
} pef_body_t;

// A tile buffer. It is called as the stage that makes it: what `origin` of stage `first` says.
typedef struct pef_buffer_s {
  uint8_t dtype;  // PEF_OPAQUE: see there
  uint8_t rank, row_dim, reserved0;
  uint32_t dims;         // the first of `rank` extents in DIMS, for the whole body; row_count divides that of row_dim
  uint32_t first, last;  // stages, from the body's first on
} pef_buffer_t;

// Bytes without a dtype, of one dim and no row dim, in which operands of any dtype lie as they like, so that values are
// known by the bytes that stages write. Compilers write none: it is what the one scratch block of a body of version 1
// becomes.
#define PEF_OPAQUE 0xffu

typedef struct pef_layout_s {
  uint64_t offset;  // bytes from the start of a thread's scratch; a multiple of PEF_ALIGN
} pef_layout_t;

// One more dim of what a body iterates over. Ascending by body and number; a body that has number 2 has number 1.
typedef struct pef_axis_s {
  uint32_t body;
  uint32_t number;    // 1 or 2
  uint64_t count;     // at least 1
  uint64_t tile_max;  // of a tile; at least 1
  uint32_t quantum;   // tiles should start at multiples of it
  uint32_t reserved0;
} pef_axis_t;

// A dim of an operand runs along an axis of its body. Ascending by operand and axis.
typedef struct pef_cut_s {
  uint32_t operand;
  uint8_t axis, dim;
  uint16_t reserved0;
  uint64_t mult;          // elements of the dim from one place of the axis to the next
  int32_t before, after;  // halo
} pef_cut_t;

// In the order of their tables, then of `first`.
typedef struct pef_family_s {
  uint32_t kind;          // pef_segment_kind: of the table
  uint32_t first, count;  // records of the first block; it lies behind the family before
  uint32_t times;         // blocks: 2 to PEF_MAX_TIMES
  uint32_t step_count;    // the next of STEPS: each has one family
  uint32_t reserved0;
} pef_family_t;  // 24 bytes

// In a block, ascending, without a byte in common.
typedef struct pef_step_s {
  uint32_t at;      // byte of the block
  uint32_t digits;  // of records 0: the 8 bytes at `at`, a multiple of 8, are a number that grows by `step`, modulo
                    // 2^64. Of STRINGS 1 to PEF_MAX_DIGITS: so many decimal digits, which it keeps in all blocks
  int64_t step;     // not 0
} pef_step_t;       // 16 bytes

// --- chips (2.2) ---

enum pef_chip_type { PEF_CHIP_PCU = 0, PEF_CHIP_PMU = 1, PEF_CHIP_AG = 2, PEF_CHIP_TYPE_COUNT };
#define PEF_CHIP_MAX_TILES 64u
#define PEF_CHIP_MAX_SIDE 128u    // rows, columns
#define PEF_CHIP_MAX_AGCUS 64u    // of a tile
#define PEF_CHIP_MAX_PORTS 256u   // of an AGCU
#define PEF_CHIP_MAX_BANKS 32u    // of a PMU
#define PEF_CHIP_MAX_LINKS 64u    // between two switches
#define PEF_CHIP_ONE_VECTOR 1024  // a vector a cycle, as bandwidths count
#define PEF_CHIP_CORNERS 4u       // nodes that a cell touches at most

typedef struct pef_chip_s {
  char name[96];  // UTF-8 text of a line, NUL to the end
  uint16_t tiles, tiles_used, stack, rows, columns, agcus, ports, banks;
  uint32_t pcus, pmus;  // of a tile
  uint16_t vector_links, border_links, hop, reserved0;
  uint64_t pmu_bytes;
} pef_chip_t;  // 136 bytes

// Ascending by body. Each owns the next stages, edges, units and nets of their tables.
typedef struct pef_chip_body_s {
  uint32_t body, load;  // load: of the link that has most of it, in 1024ths of what it carries; more: nets wait there
  uint32_t stage_first, stage_count;
  uint32_t edge_first, edge_count;
  uint32_t unit_first, unit_count;
  uint32_t net_first, net_count;
  int64_t tile_rows, tile_count;     // of the body's rows
  uint32_t parts, reserved0;         // groups of tiles that take a part of the rows each: a divisor of tiles_used
  double interval, routed_interval;  // cycles from one tile of rows to the next: on a network that is ideal, on
} pef_chip_body_t;                   // this one. 80 bytes

typedef struct pef_chip_stage_s {
  uint32_t stage;                   // of STAGES, one of the body's
  uint32_t pcus, along_m, along_n;  // pcus = along_m * along_n
  double cycles;                    // of a tile of rows
  double vectors_in, vectors_out;   // of 64 bytes, of a tile of rows
} pef_chip_stage_t;                 // 40 bytes

typedef struct pef_chip_edge_s {
  uint32_t from, to;      // stages, counted from the first of the body; PEF_NONE: DDR
  uint32_t pmus, copies;  // copies of the tile that the PMUs hold; both 0: none, it streams
  uint64_t bytes;         // of a tile of rows
  double vectors;         // of 64 bytes, of a tile of rows
} pef_chip_edge_t;        // 32 bytes

typedef struct pef_chip_unit_s {
  uint8_t type;  // pef_chip_type
  uint8_t reserved0[3];
  uint32_t of;        // PCU: the stage, else the edge, counted from the first of the body
  uint32_t cell;      // one unit a cell
  uint32_t banks[3];  // of a PMU: a bit a bank
} pef_chip_unit_t;    // 24 bytes

// Each owns the next sinks and hops of their tables.
typedef struct pef_chip_net_s {
  uint32_t source;  // unit, counted from the first of the body
  uint32_t sink_first, sink_count;
  uint32_t hop_first, hop_count;
  uint32_t bandwidth;  // 1024ths of a vector a cycle; not 0
} pef_chip_net_t;      // 24 bytes

typedef struct pef_chip_sink_s {
  uint32_t unit, hops;  // unit: as the source; hops: from the source to the nearest node that it touches
} pef_chip_sink_t;      // 8 bytes

typedef struct pef_chip_hop_s {
  uint32_t from, to;  // nodes
} pef_chip_hop_t;     // 8 bytes

enum pef_stage_kind {
#define STAGE(suffix, name, number, since, text) PEF_STAGE_##suffix = (number),
#include "pef/stage.def"
  PEF_STAGE_COUNT
};

enum pef_fn {  // ORDER: file numbers; append only
  PEF_FN_SUM = 0,
  PEF_FN_PROD = 1,
  PEF_FN_MAX = 2,
  PEF_FN_MIN = 3,
  PEF_FN_ARGMAX = 4,
  PEF_FN_ARGMIN = 5,
  PEF_FN_SET = 6,
  PEF_FN_UNIFORM = 7,
  PEF_FN_NORMAL = 8,
  PEF_FN_COUNT
};

// Stages, their operands (in this order) and their parameters by name: pef/stage.def, and as prose docs/pef-stages.md.
// pef_<kind>_t are the 24 words of parameters of a kind, PEF_<KIND>_<operand> the places of its operands.
#define PEF_TIMES_ONE
#define PEF_TIMES_SPATIAL [3]
#define PEF_TIMES_DIMS [8]
#define STAGE(suffix, name, number, since, text) typedef struct pef_##name##_s {
#define PARAM(stage, name, count, since, range, text) int64_t name PEF_TIMES_##count;
#define SHARED(name, parameters)  \
  typedef struct pef_##name##_s { \
    parameters                    \
  } pef_##name##_t;
#define UNUSED(stage, words) int64_t unused[words];
#define END(suffix, name) \
  }                       \
  pef_##name##_t;
#include "pef/stage.def"

#define STAGE(suffix, name, number, since, text) enum pef_##name##_operand {
#define OPERAND(stage, name, direction, dims, dtypes, traits, text) PEF_##stage##_##name,
#define PARAMETERS(suffix) \
  PEF_##suffix##_OPERANDS  \
  }                        \
  ;
#include "pef/stage.def"

typedef union pef_params_u {
  int64_t words[24];
  pef_window_t window;    // how CONV, CONV_WGRAD, POOL and POOL_GRAD begin
  pef_lookup_t lookup;    // GATHER, SCATTER and SEARCH
  pef_product_t product;  // CONTRACT and CONTRACT_SCALED
#define STAGE(suffix, name, number, since, text) pef_##name##_t name;
#include "pef/stage.def"
} pef_params_t;

typedef struct pef_stage_s {
  uint16_t kind;
  uint8_t fn;  // pef_fn
  uint8_t reserved0;
  uint32_t origin;  // string: "module op source" for messages and profiles
  uint32_t operand_first, instruction_first, instruction_count;
  uint16_t operand_count;
  uint16_t
      output;  // PEF_NO_OUTPUT: always run; else run only if that symbol of kind OUTPUT (counted from 0) is enabled
  pef_params_t params;
} pef_stage_t;

enum pef_role { PEF_ROLE_BATCH = 0, PEF_ROLE_M = 1, PEF_ROLE_N = 2, PEF_ROLE_K = 3 };  // of the dims of CONTRACT

enum pef_space { PEF_SPACE_NONE = 0, PEF_SPACE_ARGUMENT = 1, PEF_SPACE_SCRATCH = 2 };

typedef struct pef_operand_s {
  uint8_t space, dtype, rank, row_dim;
  uint32_t slot;       // ARGUMENT: which argument of the call; SCRATCH: which buffer of the body
  uint64_t row_mult;   // extent of row_dim per row; 0 when row_dim is PEF_NO_ROW_DIM
  uint64_t offset;     // bytes from the start of the argument or of the buffer
  int64_t dims[8];     // extents for the whole body (dims[row_dim] = row_count * row_mult)
  int64_t strides[8];  // elements; may be 0 or negative (offset then points at element 0)
} pef_operand_t;

// Strip programs of MAP stages, in static single assignment: an instruction makes one value, which the instruction's
// place in the program of its stage names, from 0 on, and reads values that come before it. A value is of one of three
// classes: those of f32, bf16, f16 are computed in F32, of f64 in F64, of integers and bool in I64. All that an
// instruction reads is of its own class (SELECT's condition as well: CONVERT it), but for CONVERT's source; a predicate
// yields 0 or 1 in the class it compares in. STORE makes no value. A value that nothing reads is legal, and nothing
// has to compute it. Fields that an operation does not use are 0.
enum pef_class { PEF_CLASS_F32 = 0, PEF_CLASS_F64 = 1, PEF_CLASS_I64 = 2 };
enum pef_instruction_op {
  // 0..255: scalar functions of values a, b, c, numbered as in src/ir/scalar.def (CAST does not occur), whose body is
  // said by `type`
  PEF_OP_LOAD = 256,       // operand a, converted to the class
  PEF_OP_STORE = 257,      // operand a becomes value b, converted to the operand's dtype
  PEF_OP_IMMEDIATE = 258,  // imm: f64 bits, or i64 in class I64
  PEF_OP_IOTA = 259,       // index along dim a of the whole iteration space
  PEF_OP_CONVERT = 260,    // value a, which is of class `type`: float->int truncates, int->float rounds
  PEF_OP_WRAP = 261,       // value a rounded or wrapped to dtype `type` (bf16, f16; i8..i32, u8; bool: != 0)
};
// Which of the bodies of a scalar function computes it, that is, which bits it gives: SINGLE is there for those that
// scalar.def calls TWO in class F32, since version 2.1.
enum pef_body { PEF_BODY_FIRST = 0, PEF_BODY_SINGLE = 1 };
typedef struct pef_instruction_s {
  uint16_t op;
  uint8_t class_;  // pef_class of what it makes; of STORE: of what it stores
  uint8_t type;    // pef_class, pef_dtype or pef_body: see op
  uint32_t a;      // value, operand or dim: see op
  union {
    struct {
      uint32_t b, c;  // values
    };
    uint64_t imm;
  };
} pef_instruction_t;

#endif

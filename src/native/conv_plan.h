// SPDX-License-Identifier: Apache-2.0
// Plans of the fast f32 convolutions: tables that load makes once, so that a run only copies and multiplies.
#ifndef LEAT_NATIVE_CONV_PLAN_H_
#define LEAT_NATIVE_CONV_PLAN_H_

#include "arch/blocks.h"
#include "base/base.h"
#include "kern/kern.h"

// Floats of a copy that the fast bodies work on, at most: what the shape asks for does not bound it.
#define LEAT_NATIVE_CONV_COPY_MAX ((int64_t)1 << 26)

// Floats that an array takes in a workspace: whole lines, and one behind it that kernels may read and write.
static inline int64_t leat_native_conv_room(int64_t floats) {
  return (floats / CONV_ALIGN_FLOATS + 2) * CONV_ALIGN_FLOATS;
}

// The shape is one that the plans are made for: no dim with both stride and base dilation, few phases, weights with a
// place each, and extents whose products stay far inside 64 bits. Other shapes are computed by the generic bodies.
bool leat_native_conv_is_ordinary(const leat_kern_conv_t *shape);

// Plans a forward convolution of `shape` (all images and outputs). *out_plan is NULL when the fast body does not cover
// the shape: not ordinary, or offsets beyond 32 bits.
leat_status_t leat_native_conv_plan(leat_arena_t *arena, const leat_kern_conv_t *shape,
                                    const leat_kern_conv_plan_t **out_plan, size_t *out_workspace_bytes) LEAT_MUST_USE;
// conv_depth covers the forward convolution `shape` and is the one to take; it then wants so much workspace.
bool leat_native_conv_is_depth(const leat_kern_conv_t *shape, size_t *out_workspace_bytes);
// conv_depth_spread covers the forward convolution `shape`; it then wants so much workspace.
bool leat_native_conv_is_spread(const leat_kern_conv_t *shape, size_t *out_workspace_bytes);
// Terms of an output, INT64_MAX beyond that.
int64_t leat_native_conv_terms(const leat_kern_conv_t *shape);
// Positions that a weight gradient sums over, INT64_MAX beyond that.
int64_t leat_native_conv_positions(const leat_kern_conv_t *shape);
// Plans a weight gradient; NULL as above, or with a base dilation.
leat_status_t leat_native_wgrad_plan(leat_arena_t *arena, const leat_kern_conv_t *shape,
                                     const leat_kern_wgrad_plan_t **out_plan,
                                     size_t *out_workspace_bytes) LEAT_MUST_USE;
// Plans a weight gradient of groups of one channel and one output; NULL for others, and as above.
leat_status_t leat_native_wgrad_depth_plan(leat_arena_t *arena, const leat_kern_conv_t *shape,
                                           const leat_kern_wgrad_depth_t **out_plan,
                                           size_t *out_workspace_bytes) LEAT_MUST_USE;

#endif

/**
 * What the shop's services do: their operations, how long each takes by itself, whom it calls and
 * how often it fails. service.ts runs these; nothing here does I/O.
 *
 *   web-bff ─┬─► catalog                 web-bff ─► orders ─┬─► inventory
 *            ├─► inventory                                  ├─► pricing
 *            ├─► pricing                                    └─► cart ─► pricing
 *            └─► cart ─► pricing         gateway ─► catalog (search, without the BFF; where
 *                                                            there is no gateway, through it)
 */
import { drawsOf } from './seeded.ts';

/** A call to another service of the shop. */
export interface Call {
  readonly to: string;
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body?: Readonly<Record<string, unknown>>;
}

/** One operation of a service. */
export interface Operation {
  readonly method: 'GET' | 'POST';
  /** Path template; `{name}` stands for one segment. */
  readonly template: string;
  /** Median of its own latency, milliseconds, calls not included. */
  readonly medianMs: number;
  /** Spread of the lognormal latency: 0.3 is even, 0.8 has a long tail. */
  readonly sigma: number;
  /** Share of requests that it fails by itself, 0..1. */
  readonly faultShare: number;
  /** Size of the reply's filling, bytes. */
  readonly replyBytes: number;
  /** Stages one after the other; the calls of one stage at once. `params` in order of the path. */
  readonly stages?: (params: readonly string[]) => readonly (readonly Call[])[];
}

const get = (to: string, path: string): Call => ({ to, method: 'GET', path });
const post = (to: string, path: string, body: Record<string, unknown>): Call => ({
  to,
  method: 'POST',
  path,
  body,
});

/** The shop: operations by service. `web-bff` is the backend for the web frontend. */
export const SHOP: Readonly<Record<string, readonly Operation[]>> = {
  'web-bff': [
    {
      method: 'GET',
      template: '/api/home',
      medianMs: 1.5,
      sigma: 0.3,
      faultShare: 0,
      replyBytes: 2400,
      stages: () => [[get('catalog', '/featured'), get('pricing', '/offers')]],
    },
    {
      method: 'GET',
      template: '/api/products/{id}',
      medianMs: 1,
      sigma: 0.3,
      faultShare: 0,
      replyBytes: 1200,
      stages: ([id = '0']) => [
        [
          get('catalog', `/products/${id}`),
          get('inventory', `/stock/${id}`),
          get('pricing', `/prices/${id}`),
        ],
      ],
    },
    {
      method: 'GET',
      template: '/api/search',
      medianMs: 0.5,
      sigma: 0.3,
      faultShare: 0,
      replyBytes: 3000,
      stages: () => [[get('catalog', '/api/search')]],
    },
    {
      method: 'GET',
      template: '/api/carts/{user}',
      medianMs: 0.8,
      sigma: 0.3,
      faultShare: 0,
      replyBytes: 900,
      stages: ([user = '0']) => [[get('cart', `/carts/${user}`)]],
    },
    {
      method: 'POST',
      template: '/api/carts/{user}/items',
      medianMs: 0.8,
      sigma: 0.3,
      faultShare: 0,
      replyBytes: 300,
      stages: ([user = '0']) => [
        [get('inventory', `/stock/${user}`)],
        [post('cart', `/carts/${user}/items`, { product: user, count: 1 })],
      ],
    },
    {
      method: 'POST',
      template: '/api/orders',
      medianMs: 2,
      sigma: 0.3,
      faultShare: 0,
      replyBytes: 500,
      stages: () => [[post('orders', '/orders', { user: '7' })]],
    },
  ],
  catalog: [
    op('GET', '/featured', 6, 0.4, 0.0005, 1800),
    op('GET', '/products/{id}', 4, 0.4, 0.0005, 900),
    op('GET', '/api/search', 11, 0.6, 0.001, 3000),
  ],
  inventory: [
    op('GET', '/stock/{id}', 3, 0.6, 0.001, 160),
    op('POST', '/reservations', 7, 0.7, 0.004, 200),
  ],
  pricing: [
    op('GET', '/offers', 3, 0.4, 0.001, 700),
    op('GET', '/prices/{id}', 2, 0.5, 0.001, 140),
    op('POST', '/quotes', 5, 0.5, 0.002, 300),
  ],
  cart: [
    {
      ...op('GET', '/carts/{user}', 3, 0.5, 0.001, 600),
      stages: ([user = '0']) => [[get('pricing', `/prices/${user}`), get('pricing', '/offers')]],
    },
    op('POST', '/carts/{user}/items', 5, 0.5, 0.001, 200),
  ],
  orders: [
    {
      ...op('POST', '/orders', 9, 0.6, 0.003, 400),
      stages: () => [
        [post('inventory', '/reservations', { product: '7', count: 1 })],
        [post('pricing', '/quotes', { products: ['7'] }), get('cart', '/carts/7')],
      ],
    },
  ],
};

function op(
  method: 'GET' | 'POST',
  template: string,
  medianMs: number,
  sigma: number,
  faultShare: number,
  replyBytes: number,
): Operation {
  return { method, template, medianMs, sigma, faultShare, replyBytes };
}

/** What a client of the shop asks for. */
export interface ShopRequest {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body: string | undefined;
}

/** Request number `n` of a load with this seed: about what a shop sees, mostly reading. */
export function shopRequest(seed: number, n: number): ShopRequest {
  const draw = drawsOf(seed, 'load', n);
  const share = draw();
  const id = Math.floor(draw() * 1000);
  const read = (path: string): ShopRequest => ({ method: 'GET', path, body: undefined });
  if (share < 0.25) return read('/api/home');
  if (share < 0.65) return read(`/api/products/${id}`);
  if (share < 0.75) return read(`/api/search?q=${id}`);
  if (share < 0.87) return read(`/api/carts/${id}`);
  const body = JSON.stringify({ product: id, count: 1 });
  if (share < 0.95) return { method: 'POST', path: `/api/carts/${id}/items`, body };
  return { method: 'POST', path: '/api/orders', body };
}

/** A program that keeps bin/tapdisk's contract with the room's real code, but has no disks behind it. */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { transformFileSync } from '@swc/core';

const ROOT = path.join(__dirname, '../..');

/**
 * Compiles what is needed into `directory` and returns the program's path. What the fake does is
 * chosen by the volume's name: `refused` is not there, `unconnectable` has no device, `mute` never
 * opens, `undying` cannot be stolen; others work.
 */
export function makeFakeTapdisk(directory: string): string {
  compile('lib', directory);
  compile('lib/control', directory);
  const program = path.join(directory, 'tapdisk');
  writeFileSync(program, PROGRAM, { mode: 0o755 });
  return program;
}

function compile(folder: string, directory: string): void {
  mkdirSync(path.join(directory, folder), { recursive: true });
  for (const name of readdirSync(path.join(ROOT, folder))) {
    if (!name.endsWith('.ts')) continue;
    const { code } = transformFileSync(path.join(ROOT, folder, name), {
      swcrc: false,
      jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
      module: { type: 'commonjs' },
    });
    writeFileSync(path.join(directory, folder, name.replace(/\.ts$/, '.js')), code);
  }
}

const PROGRAM = `#!${process.execPath}
'use strict';
const { daemonise } = require('./lib/control/daemonise.js');
const { readFifo, writeFifo } = daemonise(process.argv.slice(2), __filename);
module.paths.push(${JSON.stringify(path.join(ROOT, 'node_modules'))});
process.env.NODE_PATH = module.paths.at(-1);
require('node:module').Module._initPaths();

const { FifoServer } = require('./lib/control/fifo-server.js');
const { SocketServer } = require('./lib/control/socket-server.js');
const { Failures } = require('./lib/control/failures.js');
const { createLog } = require('./lib/control/create-log.js');
const { handleSignals } = require('./lib/control/signals.js');
const { TapdiskError } = require('./lib/errors.js');

const disks = new Map();
const rings = new Map();
let requests = 0;
const disk = (cookie) => {
  const found = disks.get(cookie);
  if (!found) throw new TapdiskError('DISK_NOT_FOUND', 'no disk ' + cookie);
  return found;
};
const host = {
  get openDisks() { return disks.size; },
  async open(cookie, { path, readOnly }) {
    const [volume, suffixes = ''] = path.split('?');
    if (volume.endsWith('/mute')) await new Promise(() => undefined);
    if (volume.endsWith('/refused')) throw new TapdiskError('VOLUME_NOT_FOUND', 'no volume ' + volume);
    const xen = /xen=([^&]+)/.exec(suffixes)?.[1];
    const how = /wait|steal/.exec(suffixes)?.[0];
    rings.set(cookie, xen && 'xen:' + xen);
    disks.set(cookie, { cookie, pid: process.pid, volume, readOnly, device: null, domid: null,
      state: how ? 'standby' : 'opened', reason: null, recording: null });
    if (how === 'steal') setTimeout(() => Object.assign(disk(cookie), path.includes('/undying')
      ? { state: 'stopped', reason: 'the owner does not die' } : { state: 'running' }), 150);
    return { sectors: 2048, sectorSize: 512, info: 0 };
  },
  async connect(cookie, { minor, domid }) {
    if (disk(cookie).volume.endsWith('/unconnectable')) {
      throw new TapdiskError('DEVICE_NOT_FOUND', 'no device ' + minor);
    }
    const device = rings.get(cookie) ??
      (process.env.TAPDISK_TS_DEVICE ?? '/dev/none%d').replace('%d', minor);
    if (disk(cookie).state === 'standby') return;
    Object.assign(disk(cookie), { device, domid, state: 'running' });
  },
  async close(cookie) { disk(cookie); disks.delete(cookie); },
};
const admin = {
  list: () => [...disks.values()],
  async statistics(cookie) {
    disk(cookie);
    requests += 1000;
    return { state: 'running', store: { kind: 'fake' }, requests: { read: { requests,
      sectors: requests * 8, errors: 0, latencyUsP50: 10, latencyUsP99: 90, latencyUsMax: 100 } } };
  },
  async pause(cookie) { disk(cookie).state = 'paused'; },
  async resume(cookie) { disk(cookie).state = 'running'; },
  async handOver(cookie, to) {
    disk(cookie);
    if (to === 'nobody:1') throw new TapdiskError('STANDBY_NOT_FOUND', 'nobody:1 does not stand by');
    return { to: to ?? 'there:7', blackoutMs: 12.345 };
  },
  async detach(cookie) { await host.close(cookie); pipes.endIfUnused(); },
  async startRecording(cookie, { path }) { disk(cookie).recording = path; },
  async stopRecording(cookie) {
    const path = disk(cookie).recording;
    if (path === null) throw new TapdiskError('RECORDING_NOT_FOUND', 'not being recorded');
    disk(cookie).recording = null;
    return { path, requests: 7, endReason: 'stopped' };
  },
};
const log = createLog();
const failures = new Failures();
let sockets;
const end = async () => { await sockets.close(); await pipes.close(); process.exit(0); };
const pipes = new FifoServer({ readFifo, writeFifo, host, log, failures, onIdle: end,
  hostTimeoutMs: Number(process.env.FAKE_HOST_TIMEOUT_MS ?? 5000) });
handleSignals({ openDisks: () => disks.size, closeAll: async () => disks.clear(), end, log });
SocketServer.listen({ admin, failures, log }).then((server) => { sockets = server; });
`;

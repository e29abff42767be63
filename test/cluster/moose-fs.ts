/** A real MooseFS in a network namespace of its own: a master, three chunk servers, and clients' mounts. */
import { spawn } from 'node:child_process';
import { closeSync, copyFileSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { addressOf, type Namespace, type Network } from './namespaces';
import { until } from './processes';

const MASTER = 30;
const CHUNK_SERVERS = [31, 32, 33];
/** Debian's moosefs-master brings it: a file system with nothing in it. */
const EMPTY_METADATA = '/var/lib/mfs/metadata.mfs.empty';
const START_DEADLINE_MS = 60_000;

export class MooseFs {
  private constructor(private readonly directory: string) {}

  /** Resolves when the master knows its chunk servers. */
  static async start(network: Network, directory: string): Promise<MooseFs> {
    const namespace = network.add('mfs', MASTER, CHUNK_SERVERS);
    const master = join(directory, 'master');
    mkdirSync(master, { recursive: true });
    copyFileSync(EMPTY_METADATA, join(master, 'metadata.mfs'));
    writeFileSync(join(master, 'mfsexports.cfg'), '* / rw,alldirs,maproot=0\n');
    writeFileSync(join(master, 'mfstopology.cfg'), '');
    const address = addressOf(MASTER);
    configure(join(master, 'mfsmaster.cfg'), {
      DATA_PATH: master,
      EXPORTS_FILENAME: join(master, 'mfsexports.cfg'),
      TOPOLOGY_FILENAME: join(master, 'mfstopology.cfg'),
      MATOCL_LISTEN_HOST: address,
      MATOCS_LISTEN_HOST: address,
      MATOML_LISTEN_HOST: address,
    });
    startIn(namespace, master, ['mfsmaster', '-c', join(master, 'mfsmaster.cfg'), '-f', 'start']);
    for (const host of CHUNK_SERVERS) startChunkServer(namespace, directory, host);
    await until(
      'the master knows every chunk server',
      () => logOf(master).split('chunkserver register end').length > CHUNK_SERVERS.length,
      START_DEADLINE_MS,
    );
    return new MooseFs(directory);
  }

  /** Mounts it for a host, whose network the client uses. @returns where */
  async mount(name: string, namespace: Namespace): Promise<string> {
    const [at, client] = [join(this.directory, name), join(this.directory, `client-${name}`)];
    for (const made of [at, client]) mkdirSync(made);
    startIn(namespace, client, ['mfsmount', at, '-H', addressOf(MASTER), '-f']);
    await until(
      `${at} is mounted`,
      () => readFileSync('/proc/mounts', 'utf8').includes(` ${at} `),
      START_DEADLINE_MS,
    );
    return at;
  }
}

function startChunkServer(namespace: Namespace, directory: string, host: number): void {
  const own = join(directory, `chunk-server-${host}`);
  mkdirSync(join(own, 'data'), { recursive: true });
  writeFileSync(join(own, 'mfshdd.cfg'), `${join(own, 'data')}\n`);
  const address = addressOf(host);
  configure(join(own, 'mfschunkserver.cfg'), {
    DATA_PATH: own,
    HDD_CONF_FILENAME: join(own, 'mfshdd.cfg'),
    MASTER_HOST: addressOf(MASTER),
    CSSERV_LISTEN_HOST: address,
    BIND_HOST: address,
  });
  startIn(namespace, own, [
    ...['mfschunkserver', '-c', join(own, 'mfschunkserver.cfg'), '-f', 'start'],
  ]);
}

function configure(path: string, settings: Readonly<Record<string, string>>): void {
  const all = { WORKING_USER: 'root', WORKING_GROUP: 'root', LOCK_MEMORY: '0', ...settings };
  const lines = Object.entries(all).map(([key, value]) => `${key} = ${value}\n`);
  writeFileSync(path, lines.join(''));
}

/** In the foreground: it ends with its namespace. */
function startIn(namespace: Namespace, directory: string, words: readonly string[]): void {
  const log = openSync(join(directory, 'log'), 'a');
  const [program, ...rest] = namespace.inside(words);
  spawn(program, rest, { stdio: ['ignore', log, log] }).unref();
  closeSync(log);
}

function logOf(directory: string): string {
  return readFileSync(join(directory, 'log'), 'utf8');
}

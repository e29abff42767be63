/** The back end's side of a Xen VBD's handshake: looks at xenstore, decides, does the one next step. */
import { assert } from '../../assert';
import { TapdiskError, sentenceOf } from '../../errors';
import type { BlockDevice } from '../../vbd/block-device';
import type { BackEndPath } from '../../xenstore/back-end-path';
import type { NodeChanges } from '../../xenstore/directory';
import {
  XENBUS_CLOSED,
  XENBUS_CLOSING,
  XENBUS_CONNECTED,
  XENBUS_INITIALISED,
  XENBUS_INIT_WAIT,
  type XenbusState,
} from '../../xenstore/xenbus-state';
import type { XenStore } from '../../xenstore/xenstore';
import { XenStoreError } from '../../xenstore/xenstore-error';
import type { FrontendEvents } from '../frontend';
import { BackEndNodes, type BackEndView } from './back-end-nodes';
import { BothSides, type SidesFound } from './both-sides';
import { CoalescedLook } from './coalesced-look';
import { decide, type Step } from './decide';
import { diskNodes, featureNodes } from './features';
import { type FrontEndRings, readFrontEndRings } from './front-end-nodes';
import {
  CLOSING_TIMEOUT_MS,
  LEAVE_RETRY_MS,
  RING_OPEN_RETRY_MS,
  RING_OPEN_TIMEOUT_MS,
} from './limits';
import { ReconnectPause } from './reconnect-pause';
import { type OpenRings, RingSession, type RingsToOpen } from './ring-session';
import type { OpenStore } from './store-link';
import type { XenRings } from './rings';
import type { XenFeatures } from './xen-features';

export interface HandshakeEvents extends FrontendEvents {
  /** What happened, for the log. */
  onNote(facts: Readonly<Record<string, unknown>>, sentence: string): void;
}

export interface HandshakeOptions {
  readonly place: BackEndPath;
  readonly features: XenFeatures;
  readonly blockDevice: BlockDevice;
  readonly events: HandshakeEvents;
  readonly openStore: OpenStore;
  readonly openRings: OpenRings;
  /** Told of rings that were let go of. */
  readonly onRingsClosed: (rings: XenRings) => void;
}

/** What a step may build on. */
type Found = SidesFound & { readonly view: BackEndView };

/** When to look again. What was written, by this side or by the toolstack before it, is a change. */
const UNTIL_CHANGED = null;
const AT_ONCE = 0;

/**
 * Every change of a node that may matter leads to a look at all of them, and a look to one step, so
 * nothing depends on which changes were seen, or by which process: `decide` says what is next.
 */
export class Handshake {
  /** Null while no rings are open. */
  session: RingSession | null = null;

  /** Why the last rings were refused or stopped. */
  private refusal: TapdiskError | null = null;
  private readonly nodes: BackEndNodes;
  private readonly sides: BothSides;
  private readonly looks: CoalescedLook;
  private readonly reconnectPause = new ReconnectPause();
  private offered = false;
  private paused = false;
  private leaving = false;
  private saidTrouble = '';
  /** Of performance.now(). */
  private closingSinceMs: number | null = null;
  private openingSinceMs: number | null = null;

  constructor(private readonly options: HandshakeOptions) {
    const { place, openStore } = options;
    const onTrouble = (reason: unknown): void => this.trouble(reason);
    const onChanged = (): void => this.looks.request();
    this.nodes = new BackEndNodes(place);
    this.looks = new CoalescedLook(() => this.look(), onTrouble);
    this.sides = new BothSides(place.path, this.nodes, openStore, { onChanged, onTrouble });
  }

  /** Null once a front end has connected. */
  get stopped(): TapdiskError | null {
    return this.session?.broken ?? this.refusal;
  }

  start(): void {
    this.sides.start();
  }

  pause(): void {
    this.paused = true;
    this.session?.rings.pause();
  }

  resume(): void {
    this.paused = false;
    this.session?.rings.resume();
  }

  /** The disk's size is another: a front end that is connected is told. */
  resized(): void {
    this.looks.request();
  }

  /**
   * Lets go of the rings and says nothing of it in xenstore: a process that comes after this one
   * goes on with them. May be called again where it rejected.
   */
  async close(): Promise<void> {
    await this.looks.stop();
    const { session } = this;
    if (session === null) return;
    await session.rings.close();
    this.options.onRingsClosed(session.rings);
    this.session = null;
  }

  /** After `close`: a toolstack that took the disk away learns that it is free. */
  async farewell(): Promise<void> {
    if (this.leaving) await this.sayClosed().catch((error: unknown) => this.trouble(error));
    await this.sides.close();
  }

  private async sayClosed(): Promise<void> {
    const found = await this.sides.look();
    // Made anew meanwhile, it is another process's.
    if (found === null || found.view === null || found.view.online) return;
    await this.nodes.change(found.store, found.view.state, XENBUS_CLOSED);
  }

  private async look(): Promise<number | null> {
    const found = await this.sides.look();
    if (found === null) return UNTIL_CHANGED;
    const { store, view, frontEnd } = found;
    const step = this.nextStep(view, frontEnd);
    this.saidTrouble = '';
    if (step === 'leave') return this.leave();
    if (step === 'disconnect') return this.disconnect(store, view);
    assert(view !== null, 'without a directory there is nothing else to do');
    return this.take(step, { store, view, frontEnd });
  }

  private nextStep(view: BackEndView | null, frontEnd: XenbusState): Step {
    const { session } = this;
    const isClosing = view?.state === XENBUS_CLOSING && session === null;
    if (!isClosing) this.closingSinceMs = null;
    else this.closingSinceMs ??= performance.now();
    return decide({
      backEnd: view?.state ?? null,
      frontEnd,
      online: view?.online ?? false,
      hotplugDone: view?.hotplugDone ?? false,
      rings: session === null ? 'none' : session.broken === null ? 'open' : 'broken',
      offered: this.offered,
      failed: view?.failed ?? false,
      closingOverdue: this.closingLeftMs() <= 0,
    });
  }

  private take(step: Exclude<Step, 'leave' | 'disconnect'>, found: Found): Promise<number | null> {
    switch (step) {
      case 'offer':
        return this.offer(found);
      case 'connect':
        return this.connect(found, false);
      case 'adopt':
        return this.connect(found, true);
      case 'compare':
        return this.compare(found);
      case 'closing':
        return this.move(found, XENBUS_CLOSING);
      case 'closed':
        return this.move(found, XENBUS_CLOSED);
      case 'wait':
        return this.wait(found);
    }
  }

  private async offer(found: Found): Promise<number | null> {
    const { store, view } = found;
    const leftMs = this.reconnectPause.leftMs();
    if (leftMs > 0) return leftMs;
    try {
      this.nodes.frontEndPath(view);
      this.nodes.checkMode(view, this.options.blockDevice);
    } catch (error) {
      return this.refuse(found, error);
    }
    const features = { ...this.options.features, discardEnabled: view.discardEnabled };
    const nodes = featureNodes(this.options.blockDevice, features);
    this.offered = await this.nodes.change(store, view.state, XENBUS_INIT_WAIT, nodes);
    return UNTIL_CHANGED;
  }

  /** `takenOver`: an earlier process served these rings, and the front end is to notice nothing. */
  private async connect(found: Found, takenOver: boolean): Promise<number | null> {
    const { view, frontEnd } = found;
    try {
      const rings = await this.readRings(found);
      this.open({ ...rings, takenOver, discard: view.discardEnabled });
    } catch (error) {
      if (error instanceof XenStoreError) throw error;
      // Whoever just ended, or hands the disk over, lets go of them only then.
      this.openingSinceMs ??= performance.now();
      const isOver = performance.now() - this.openingSinceMs >= RING_OPEN_TIMEOUT_MS;
      if (takenOver && !isOver && isTransient(error)) return RING_OPEN_RETRY_MS;
      this.openingSinceMs = null;
      return this.refuse(found, error);
    }
    this.openingSinceMs = null;
    if (!takenOver) return this.announce(found, this.nodes.noFailureNodes);
    // One that was never told Connected, or started afresh meanwhile, waits for it.
    if (frontEnd === XENBUS_INITIALISED && view.state === XENBUS_CONNECTED) {
      return this.announce(found);
    }
    return AT_ONCE;
  }

  private readRings({ store, view }: Found): Promise<FrontEndRings> {
    this.nodes.checkMode(view, this.options.blockDevice);
    const { features } = this.options;
    // Whoever was told otherwise by a process before this one counts on its grants to end.
    const persistent = features.persistent && view.persistentOffered;
    const path = this.nodes.frontEndPath(view);
    return readFrontEndRings(store, path, { ...features, persistent });
  }

  private open(rings: RingsToOpen): void {
    const session = new RingSession(this.options.openRings, rings, () => this.looks.request());
    this.session = session;
    this.refusal = null;
    if (this.paused) session.rings.pause();
    session.rings.start();
    const facts = { ...rings, queues: rings.queues.length };
    this.options.events.onNote(facts, 'serves the rings of a guest');
  }

  /** A front end in Initialised while this side is Connected may have made its rings anew. */
  private async compare(found: Found): Promise<number | null> {
    const { session } = this;
    assert(session !== null, 'there are rings to compare with');
    let rings: FrontEndRings;
    try {
      rings = await this.readRings(found);
    } catch (error) {
      if (error instanceof XenStoreError) throw error;
      // Not written to the end yet, or not to be served: the next change tells.
      return this.keepSize(found);
    }
    if (session.isOf(rings)) return this.keepSize(found);
    await this.letGo(session);
    return this.connect(found, false);
  }

  private wait(found: Found): Promise<number | null> {
    const { session } = this;
    if (session !== null) return this.keepSize(found);
    const leftMs = this.closingLeftMs();
    return Promise.resolve(Number.isFinite(leftMs) ? leftMs : UNTIL_CHANGED);
  }

  /** A disk that was resized: a front end reads the size whenever this side says Connected. */
  private async keepSize(found: Found): Promise<number | null> {
    const { view } = found;
    if (view.state !== XENBUS_CONNECTED) return UNTIL_CHANGED;
    if (view.sectors === String(this.options.blockDevice.sectors)) return UNTIL_CHANGED;
    return this.announce(found);
  }

  private async announce({ store, view }: Found, nodes: NodeChanges = {}): Promise<number | null> {
    const all = { ...nodes, ...diskNodes(this.options.blockDevice, view) };
    await this.nodes.change(store, view.state, XENBUS_CONNECTED, all);
    return UNTIL_CHANGED;
  }

  private async move({ store, view }: Found, next: XenbusState): Promise<number | null> {
    await this.nodes.change(store, view.state, next);
    return UNTIL_CHANGED;
  }

  /** The front end has left its rings, or broke them. */
  private async disconnect(store: XenStore, view: BackEndView | null): Promise<number | null> {
    const { session } = this;
    assert(session !== null, 'there are rings to let go of');
    const { broken } = session;
    // Told at once: to let go of the rings waits for what is in flight.
    if (broken !== null && view !== null) await this.tell(store, view, broken);
    await this.letGo(session);
    return AT_ONCE;
  }

  /** Whoever comes after this never goes on with these rings. */
  private async letGo(session: RingSession): Promise<void> {
    await session.rings.close();
    session.rings.forget();
    this.options.onRingsClosed(session.rings);
    this.session = null;
    this.options.events.onNote({}, 'let go of the rings of a guest');
  }

  private async refuse({ store, view }: Found, error: unknown): Promise<number | null> {
    const reason = error instanceof TapdiskError ? error : unexpected(error);
    await this.tell(store, view, reason);
    return UNTIL_CHANGED;
  }

  /** Says why in the process, in its log, and in xenstore; a front end at work is told to close. */
  private async tell(store: XenStore, view: BackEndView, reason: TapdiskError): Promise<void> {
    const isNews = this.refusal?.message !== reason.message;
    this.refusal = reason;
    this.reconnectPause.refused();
    if (isNews) this.options.events.onStopped(reason);
    const wasAtWork = view.state === XENBUS_INIT_WAIT || view.state === XENBUS_CONNECTED;
    // To write the same again would be seen as a change, and looked at.
    if (!isNews && !wasAtWork && view.failed) return;
    const nodes = this.nodes.failureNodes(view, reason.message);
    await this.nodes.change(store, view.state, wasAtWork ? XENBUS_CLOSING : view.state, nodes);
  }

  private leave(): number {
    this.leaving = true;
    this.options.events.onCloseAsked();
    return LEAVE_RETRY_MS;
  }

  /** Infinity where no front end has to close. */
  private closingLeftMs(): number {
    if (this.closingSinceMs === null) return Infinity;
    return this.closingSinceMs + CLOSING_TIMEOUT_MS - performance.now();
  }

  /** The rings are served on; each kind of trouble is told once until a look succeeds. */
  private trouble(reason: unknown): void {
    const sentence = sentenceOf(reason);
    if (sentence === this.saidTrouble) return;
    this.saidTrouble = sentence;
    this.options.events.onNote({}, sentence);
  }
}

function isTransient(error: unknown): boolean {
  return error instanceof TapdiskError && error.transient;
}

function unexpected(error: unknown): TapdiskError {
  return new TapdiskError(
    'XEN_RING_REFUSED',
    `the guest's rings cannot be served: ${sentenceOf(error)}`,
    {
      cause: error,
    },
  );
}

/** From a VBD's outcome to the error number that NBD has for it. */
import { constants } from 'node:os';
import { STATUS_EOPNOTSUPP, STATUS_OKAY, type VbdRequest } from '../../vbd/request';
import {
  NBD_EINVAL,
  NBD_EIO,
  NBD_ENOMEM,
  NBD_ENOSPC,
  NBD_ENOTSUP,
  NBD_EOVERFLOW,
  NBD_EPERM,
  NBD_OK,
} from './protocol';

const { errno } = constants;

/** proto.md lets a server send these and no others; what it has no name for is an I/O error. */
const ERROR_NUMBERS: Readonly<Record<number, number>> = {
  [errno.EPERM]: NBD_EPERM,
  [errno.EACCES]: NBD_EPERM,
  [errno.EROFS]: NBD_EPERM,
  [errno.ENOMEM]: NBD_ENOMEM,
  [errno.EINVAL]: NBD_EINVAL,
  [errno.ENOSPC]: NBD_ENOSPC,
  [errno.EDQUOT]: NBD_ENOSPC,
  [errno.EFBIG]: NBD_ENOSPC,
  [errno.EOVERFLOW]: NBD_EOVERFLOW,
  [errno.EOPNOTSUPP]: NBD_ENOTSUP,
};

/** NBD's error number for a request that has ended; 0 where it succeeded. */
export function errorNumberOf(request: VbdRequest): number {
  if (request.status === STATUS_OKAY) return NBD_OK;
  if (request.status === STATUS_EOPNOTSUPP) return NBD_ENOTSUP;
  return ERROR_NUMBERS[request.errno] ?? NBD_EIO;
}
